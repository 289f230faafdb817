//! Proof that whoever describes a member has the keys of its node: each of them has signed whose it is, and what for. Else somebody could
//! take a key that is another's for its own: what that one signs would speak for it.

use super::{Member, MemberKeys, MemberRole};
use entrepot_chain_statement::{Did, SigningKey};
use serde::{Deserialize, Serialize};

const CONTEXT: &[u8] = b"entrepot/member-key/v1\n";

/// Signatures by the keys of a member's node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Possession {
    /// By the consensus key; base64 in JSON, as the others.
    #[serde(with = "base64_text")]
    pub consensus: [u8; 64],
    /// By the cosigning key.
    #[serde(with = "base64_text")]
    pub cosigning: [u8; 64],
    /// By the transport key.
    #[serde(with = "base64_text")]
    pub transport: [u8; 64],
}

/// The secret keys of a member's node.
#[derive(Clone, Copy)]
pub struct MemberKeyring<'a> {
    /// Signs proposals and votes on blocks.
    pub consensus: &'a SigningKey,
    /// Cosigns checkpoints of decided blocks.
    pub cosigning: &'a SigningKey,
    /// Authenticates the node's connections.
    pub transport: &'a SigningKey,
}

/// A key is not shown to be the organisation's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key {key} has not signed that it is a key of this organisation's node")]
pub struct NoPossession {
    /// Which.
    pub key: Did,
}

/// What an organisation gives to those who are to make it a member: itself, and the proof that its node's keys are its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberDescription {
    /// The organisation.
    pub did: Did,
    /// For people.
    pub name: String,
    /// What it is to the others.
    pub role: MemberRole,
    /// The keys of its node.
    pub keys: MemberKeys,
    /// Their signatures.
    pub possession: Possession,
}

impl MemberKeyring<'_> {
    /// The public halves.
    pub fn keys(&self) -> MemberKeys {
        MemberKeys { consensus: self.consensus.did(), cosigning: self.cosigning.did(), transport: self.transport.did() }
    }

    /// Shows that they are this organisation's.
    pub fn possession(&self, organisation: &Did) -> Possession {
        let [consensus, cosigning, transport] = messages(organisation);
        Possession {
            consensus: self.consensus.sign(&consensus),
            cosigning: self.cosigning.sign(&cosigning),
            transport: self.transport.sign(&transport),
        }
    }
}

impl Possession {
    /// The encoding: the three signatures.
    pub fn encode(&self) -> [u8; 192] {
        let mut out = [0; 192];
        for (place, signature) in out.chunks_exact_mut(64).zip([&self.consensus, &self.cosigning, &self.transport]) {
            place.copy_from_slice(signature);
        }
        out
    }

    /// Which key signed what, for whoever checks many signatures at once.
    pub fn signed<'a>(&'a self, organisation: &Did, keys: &'a MemberKeys) -> [(&'a Did, &'a [u8; 64], Vec<u8>); 3] {
        let [consensus, cosigning, transport] = messages(organisation);
        [
            (&keys.consensus, &self.consensus, consensus),
            (&keys.cosigning, &self.cosigning, cosigning),
            (&keys.transport, &self.transport, transport),
        ]
    }
}

impl MemberDescription {
    /// Of this member.
    pub fn of(member: Member, possession: Possession) -> Self {
        let Member { did, name, role, keys } = member;
        Self { did, name, role, keys, possession }
    }

    /// The member, if its keys are its own.
    pub fn member(&self) -> Result<Member, NoPossession> {
        for (key, signature, message) in self.possession.signed(&self.did, &self.keys) {
            if !key.verify(&message, signature) {
                return Err(NoPossession { key: key.clone() });
            }
        }
        Ok(Member { did: self.did.clone(), name: self.name.clone(), role: self.role, keys: self.keys.clone() })
    }
}

/// What consensus, cosigning and transport key sign.
fn messages(organisation: &Did) -> [Vec<u8>; 3] {
    ["consensus", "cosigning", "transport"].map(|role| [CONTEXT, role.as_bytes(), b"\n", &organisation.public_bytes()].concat())
}

mod base64_text {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(signature: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(signature))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let bytes = BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("a signature has 64 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn described() -> MemberDescription {
        let (consensus, cosigning, transport, did) = (key(2), key(3), key(4), key(1).did());
        let keyring = MemberKeyring { consensus: &consensus, cosigning: &cosigning, transport: &transport };
        let member = Member { did: did.clone(), name: "one".to_owned(), role: MemberRole::Member, keys: keyring.keys() };
        MemberDescription::of(member, keyring.possession(&did))
    }

    #[test]
    fn only_the_keys_themselves_show_whose_they_are_and_what_for() {
        let good = described();
        let json = serde_json::to_vec(&good).expect("JSON");
        assert_eq!(serde_json::from_slice::<MemberDescription>(&json).expect("JSON"), good);
        assert_eq!(good.member().expect("its own").keys, good.keys);
        // Another organisation shows the same keys as its own.
        let mut taken = good.clone();
        taken.did = key(9).did();
        assert_eq!(taken.member(), Err(NoPossession { key: key(2).did() }));
        // A key serves the purpose that it signed for.
        let mut swapped = good.clone();
        std::mem::swap(&mut swapped.keys.cosigning, &mut swapped.keys.transport);
        std::mem::swap(&mut swapped.possession.cosigning, &mut swapped.possession.transport);
        assert_eq!(swapped.member(), Err(NoPossession { key: key(4).did() }));
        let mut foreign = good;
        foreign.keys.transport = key(8).did();
        assert_eq!(foreign.member(), Err(NoPossession { key: key(8).did() }));
    }
}
