//! The exchange's channel with several members: the exchange, and a node each for organisations of the sample market.

use super::{
    cast::{Cast, Member as Participant},
    processes::Processes,
    seed::free_addresses,
};
use crate::{
    commands::{chain::keys::make_node_keys, serve},
    exchange_keys::ExchangeKeys,
    exit::Failure,
    files,
    output::Output,
};
use entrepot_chain_log::{
    Genesis, Member, Members,
    consortium::{MemberRole, VotingRule},
};
use entrepot_chain_statement::statements::Role;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// As many as the sample market has organisations for.
pub const VALIDATORS_MAX: u8 = 4;

/// Founds the channel, starts the nodes of the other members, and writes the exchange's configuration; its file.
pub async fn start(
    count: u8,
    home: &Path,
    exchange: &Path,
    cast: &Cast,
    processes: &mut Processes,
    output: &Output,
) -> Result<PathBuf, Failure> {
    output.step("Founding the channel; starting the other members' nodes");
    let others: Vec<(&Participant, &'static str, PathBuf)> =
        [(&cast.lender, "node-lender"), (&cast.bureau, "node-bureau"), (&cast.regulator, "node-regulator")]
            .into_iter()
            .take(usize::from(count) - 1)
            .map(|(member, name)| (member, name, home.join(name)))
            .collect();
    files::make_private_folder(exchange)?;
    let settings = serve::Settings::of(Some(exchange), None)?;
    let ours = ExchangeKeys::open(exchange, &settings.grpc_names)?.member("Exchange");
    let mut members = vec![ours.clone()];
    for (member, _, folder) in &others {
        files::make_private_folder(folder)?;
        let (keys, _) = make_node_keys(&folder.join("keys"), &member.did())?;
        members.push(Member { did: member.did(), name: member.name.to_owned(), role: role_of(member), keys });
    }
    let set = Members::new(members.clone()).map_err(Failure::bad_input)?;
    let genesis = Genesis::new("entrepot/main", VotingRule::TwoThirds, &set).map_err(anyhow::Error::from)?;
    let genesis_path = home.join("genesis.json");
    files::write_public(&genesis_path, &serde_json::to_vec_pretty(&genesis).map_err(anyhow::Error::from)?)?;

    let addresses: Vec<String> = free_addresses::<{ VALIDATORS_MAX as usize }>()?.iter().map(ToString::to_string).collect();
    let peers_of = |own: usize| -> Value {
        let places = members.iter().zip(&addresses).enumerate().filter(|(at, _)| *at != own);
        let peer = |(_, (member, address)): (usize, (&Member, &String))| {
            Value::Table(
                [("member".to_owned(), member.did.to_string().into()), ("address".to_owned(), address.clone().into())]
                    .into_iter()
                    .collect(),
            )
        };
        places.map(peer).collect::<Vec<_>>().into()
    };
    let text = |path: &Path| Value::from(path.display().to_string());
    for (at, (_, name, folder)) in (1..).zip(&others) {
        let settings: Table = [
            ("data_dir", text(folder)),
            ("genesis", text(&genesis_path)),
            ("keys", text(&folder.join("keys"))),
            ("listen", addresses[at].clone().into()),
            ("rest_listen", "127.0.0.1:0".into()),
            ("peers", peers_of(at)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect();
        let path = folder.join("node.toml");
        files::write_public(&path, settings.to_string().as_bytes())?;
        processes.start(name, &["node", "--founding", "--config", &path.display().to_string()])?;
        processes.wait_for_file(name, &folder.join("node.json")).await?;
    }
    let consortium: Table = [("genesis", text(&genesis_path)), ("listen", addresses[0].clone().into()), ("peers", peers_of(0))]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect();
    let mut settings = Table::new();
    settings.insert("data_dir".to_owned(), text(exchange));
    settings.insert("consortium".to_owned(), Value::Table(consortium));
    let path = home.join("exchange.toml");
    files::write_public(&path, settings.to_string().as_bytes())?;
    Ok(path)
}

fn role_of(member: &Participant) -> MemberRole {
    if member.role == Role::Regulator { MemberRole::Regulator } else { MemberRole::Member }
}
