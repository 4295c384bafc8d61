//! The Merkle tree of RFC 9162 section 2.1 over the audit's entries: roots, and the paths that prove an entry is in one.
//!
//! Of what retention has removed a [`Range`] is left: the roots of the largest full subtrees, at most one a power of two.
//! They stand to the left of all that is kept, so every later root and path comes out as if nothing were gone.

use sha2::{Digest, Sha256};

/// A node of the tree.
pub(crate) type Hash = [u8; 32];

/// The hash of an entry; another prefix than a node's, so that neither can be taken for the other.
pub(crate) fn leaf(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// All leaves so far as the roots of the full subtrees they make, the largest first: one for each bit of their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    size: u64,
    roots: Vec<Hash>,
}

impl Range {
    /// As stored; none if so many leaves do not make so many subtrees.
    pub(crate) fn from_parts(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (size.count_ones() as usize == roots.len()).then_some(Self { size, roots })
    }

    /// How many leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What is stored beside the number of leaves.
    pub(crate) fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Adds the next leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut root = leaf;
        // Two full subtrees of one size are one of the next.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                root = node(&left, &root);
            }
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// The root of the tree over all leaves; of no leaves the hash of nothing.
    pub(crate) fn root(&self) -> Hash {
        let smallest_first = self.roots.iter().rev().copied();
        smallest_first.reduce(|right, left| node(&left, &right)).unwrap_or_else(|| Sha256::digest([]).into())
    }

    /// The full subtree of 2^level leaves, if it is one of the roots.
    fn root_at(&self, level: u32) -> Option<Hash> {
        let larger = (self.size >> level >> 1).count_ones() as usize;
        (self.size >> level & 1 == 1).then(|| self.roots.get(larger).copied()).flatten()
    }
}

/// A tree with its nodes, for paths: 64 bytes a leaf that is kept.
pub(crate) struct Tree {
    size: u64,
    levels: Vec<Level>,
}

/// The roots of full subtrees of one size, from the `first`th on.
struct Level {
    first: u64,
    nodes: Vec<Hash>,
}

impl Tree {
    /// The tree over what was removed and these leaves after it.
    pub(crate) fn new(removed: &Range, leaves: Vec<Hash>) -> Self {
        let size = removed.size + leaves.len() as u64;
        let mut levels = Vec::new();
        let mut level = Level { first: removed.size, nodes: leaves };
        let mut height = 0;
        while !level.nodes.is_empty() || removed.size >> height > 0 {
            // Where the right half is kept the left one is needed, and is the removed part's root of that size.
            if let Some(left) = removed.root_at(height) {
                level.first -= 1;
                level.nodes.insert(0, left);
            }
            let above =
                level.nodes.as_chunks::<2>().0.iter().map(|[left, right]| node(left, right)).collect();
            let above = Level { first: level.first / 2, nodes: above };
            levels.push(level);
            level = above;
            height += 1;
        }
        Self { size, levels }
    }

    /// RFC 9162 section 2.1.3.1: the nodes that lead from the `index`th leaf (from 0) to the root, the lowest first; none for
    /// a leaf that is not kept.
    pub(crate) fn path(&self, index: u64) -> Option<Vec<Hash>> {
        let (mut from, mut to) = (0, self.size);
        if index >= to {
            return None;
        }
        let mut path = Vec::new();
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                path.push(self.root_of(middle, to)?);
                to = middle;
            } else {
                path.push(self.root_of(from, middle)?);
                from = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// The root over the leaves `from..to`, of which there is one at least.
    fn root_of(&self, from: u64, to: u64) -> Option<Hash> {
        let n = to - from;
        if n.is_power_of_two() {
            let level = self.levels.get(n.trailing_zeros() as usize)?;
            let place = usize::try_from((from / n).checked_sub(level.first)?).ok()?;
            return level.nodes.get(place).copied();
        }
        let middle = from + split(n);
        Some(node(&self.root_of(from, middle)?, &self.root_of(middle, to)?))
    }
}

/// Where a tree of `n` > 1 leaves divides: the largest power of two below `n`.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hex::hex;

    /// The definition, word for word.
    fn reference(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            many => {
                let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
                node(&reference(left), &reference(right))
            }
        }
    }

    /// RFC 9162 section 2.1.3.2, word for word.
    fn leads_to(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
        let (mut f, mut s, mut r) = (index, size.checked_sub(1)?, leaf);
        for p in path {
            if s == 0 {
                return None;
            }
            if f & 1 == 1 || f == s {
                r = node(p, &r);
                while f & 1 == 0 && f != 0 {
                    (f, s) = (f >> 1, s >> 1);
                }
            } else {
                r = node(&r, p);
            }
            (f, s) = (f >> 1, s >> 1);
        }
        (s == 0).then_some(r)
    }

    /// The leaves and roots with which Certificate Transparency's implementations are tested.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let mut range = Range::default();
        assert_eq!(hex(&range.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let roots = leaves.map(|data| {
            range.push(leaf(data));
            hex(&range.root())
        });
        assert_eq!(
            roots,
            [
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ]
        );
    }

    proptest! {
        #[test]
        fn what_was_removed_changes_neither_root_nor_path(size in 1..200_u64, removed in 0..200_u64) {
            let removed = removed % size;
            let leaves: Vec<Hash> = (0..size).map(|i| leaf(&i.to_be_bytes())).collect();
            let mut range = Range::default();
            let mut left = range.clone();
            for (i, leaf) in (0..).zip(&leaves) {
                if i == removed {
                    left = Range::from_parts(range.size(), range.roots().to_vec()).unwrap();
                }
                range.push(*leaf);
            }
            let root = reference(&leaves);
            prop_assert_eq!(range.root(), root);
            let tree = Tree::new(&left, leaves[removed as usize..].to_vec());
            for i in removed..size {
                let path = tree.path(i).unwrap();
                prop_assert_eq!(leads_to(i, size, leaves[i as usize], &path), Some(root));
            }
            prop_assert_eq!(tree.path(size), None);
        }
    }
}
