//! `/v1/channels`: every channel that is served here. What `/v1/chain` and `/v1/log` tell of the first channel, each tells of itself below
//! `/v1/channels/{channel}`.

mod dispatch;
mod list;

use crate::{
    chain::{self, ChainState, Connection},
    log::LogState,
    router::wrapped,
    routes,
};
use axum::{Extension, Router, middleware};
use dispatch::{dispatch, no_such_channel};
use std::{collections::BTreeMap, sync::Arc};
use utoipa::openapi::{
    OpenApi, PathItem, Required,
    path::{Operation, ParameterBuilder, ParameterIn},
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Where the channels are.
const ROOT: &str = "/v1/channels";

/// A channel, as it is served.
#[derive(Clone)]
pub struct Channel {
    /// Its name, by which paths name it: the last part of its log's origin.
    pub name: String,
    /// Its chain.
    pub chain: ChainState,
    /// Its log.
    pub log: LogState,
}

/// The channels that are served. Cheap to clone.
#[derive(Clone)]
pub struct Channels(Arc<Served>);

struct Served {
    first: Channel,
    others: BTreeMap<String, (Channel, Router)>,
    unknown: Router,
}

impl Channels {
    /// `/v1/chain` and `/v1/log` are those of the `first`. A name that occurs twice is the last one's.
    pub fn new(first: Channel, others: impl IntoIterator<Item = Channel>) -> Self {
        let routed = |channel: Channel| {
            let router: Router = resources().split_for_parts().0;
            let router = wrapped(router.layer(Extension(channel.log.clone())).layer(Extension(channel.chain.clone())));
            (channel.name.clone(), (channel, router))
        };
        let unknown = wrapped(Router::new().fallback(async || no_such_channel()));
        Self(Arc::new(Served { first, others: others.into_iter().map(routed).collect(), unknown }))
    }

    /// All of them, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &Channel> {
        std::iter::once(&self.0.first).chain(self.0.others.values().map(|(channel, _)| channel))
    }

    /// The one that needs no name.
    pub fn first(&self) -> &Channel {
        &self.0.first
    }

    /// Sets the figures of every channel.
    pub(crate) async fn set_figures(&self) {
        for channel in self.iter() {
            let Ok(health) = channel.chain.reader().health().await else { continue };
            let connected = health.peers.iter().filter(|peer| peer.connection == Connection::Open).count();
            metrics::gauge!("entrepot_chain_height", "channel" => channel.name.clone()).set(health.height as f64);
            metrics::gauge!("entrepot_chain_peers_connected", "channel" => channel.name.clone()).set(connected as f64);
            metrics::gauge!("entrepot_chain_stopped", "channel" => channel.name.clone()).set(f64::from(u8::from(health.failure.is_some())));
        }
    }
}

/// Lets the chains' and logs' routes answer; without this they say that they cannot. The log of the first channel is that of `router`.
pub fn attach(router: Router, channels: Channels) -> Router {
    let first = channels.first().chain.clone();
    let routes = router.layer(Extension(first)).layer(Extension(channels.clone()));
    // Around the routes, not among them: a handler of a chain or a log takes the same path whichever channel it is about.
    let dispatched = tower::Layer::layer(&middleware::from_fn_with_state(channels, dispatch), routes);
    Router::new().fallback_service(dispatched)
}

/// What each channel has.
fn resources<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    chain::router().merge(routes::log::router())
}

/// The list, and in the document what each channel has.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::with_openapi(of_each(resources::<()>().into_openapi())).routes(routes!(list::handler))
}

/// The same operations, told once more with the channel in their paths.
fn of_each(mut document: OpenApi) -> OpenApi {
    let paths = std::mem::take(&mut document.paths.paths);
    let below = |path: String| format!("{ROOT}/{{channel}}{}", path.strip_prefix("/v1").unwrap_or(&path));
    document.paths.paths = paths.into_iter().map(|(path, item)| (below(path), of_channel(item))).collect();
    document
}

fn of_channel(mut item: PathItem) -> PathItem {
    let operations = [&mut item.get, &mut item.post].into_iter().flatten();
    operations.for_each(name_channel);
    item
}

fn name_channel(operation: &mut Operation) {
    if let Some(id) = &mut operation.operation_id {
        id.push_str("_of_channel");
    }
    let channel = ParameterBuilder::new()
        .name("channel")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("Name of the channel, as `/v1/channels` lists it."))
        .schema(Some(utoipa::openapi::schema::Object::with_type(utoipa::openapi::schema::Type::String)))
        .build();
    operation.parameters.get_or_insert_default().insert(0, channel.into());
}
