//! Nodes of the state's tree that were used of late.

use entrepot_chain_log::state_tree::StateNode;
use entrepot_chain_statement::Hash;
use std::collections::HashMap;

/// Nodes of one generation; there are two.
const GENERATION: usize = 1 << 16;

/// Every transaction that a contract judges reads some twenty nodes, most of them the same as the one before. A node never changes under
/// its name, so nothing here gets old; what was not used for a generation is forgotten.
#[derive(Default)]
pub(super) struct RecentNodes {
    young: HashMap<Hash, StateNode>,
    old: HashMap<Hash, StateNode>,
}

impl RecentNodes {
    pub fn get(&mut self, name: &Hash) -> Option<StateNode> {
        if let Some(node) = self.young.get(name) {
            return Some(*node);
        }
        let node = self.old.remove(name)?;
        self.put(*name, node);
        Some(node)
    }

    pub fn put(&mut self, name: Hash, node: StateNode) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_log::state_tree::StateLeaf;

    fn numbered(number: usize) -> (Hash, StateNode) {
        let name = Hash::of(&[&number.to_be_bytes()]);
        (name, StateNode::Leaf(StateLeaf { key: name, value: name }))
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut nodes = RecentNodes::default();
        let (used, used_node) = numbered(0);
        let (unused, unused_node) = numbered(1);
        nodes.put(used, used_node);
        nodes.put(unused, unused_node);
        for number in 2..4 * GENERATION {
            let (name, node) = numbered(number);
            nodes.put(name, node);
            assert_eq!(nodes.get(&used), Some(used_node));
        }
        assert_eq!(nodes.get(&unused), None);
        assert!(nodes.young.len() + nodes.old.len() <= 2 * GENERATION);
    }
}
