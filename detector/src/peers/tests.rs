use super::*;

/// So many agents of a group that all call the same.
fn agents(n: usize, group: Option<GroupId>, endpoint: u64) -> Vec<Sampled> {
    vec![Sampled { group, sessions: 32, called: vec![(endpoint, 32)] }; n]
}

fn ids(peers: &Peers) -> Vec<GroupId> {
    peers.groups.iter().map(|group| group.id).collect()
}

#[test]
fn a_group_has_no_number_of_one_that_is_gone() {
    let mut peers = Peers::default();
    peers.regroup(&agents(8, None, 1), &[Some(0); 8]);
    let [first] = ids(&peers)[..] else { panic!("{peers:?}") };
    // All of its agents are gone, and others are a group.
    peers.regroup(&agents(8, None, 2), &[Some(0); 8]);
    let [second] = ids(&peers)[..] else { panic!("{peers:?}") };
    assert!(second != first && !peers.is_found(first), "{first} {second}");
    // So it is with names.
    peers.declare(["desk"].into_iter(), false);
    let desk = peers.named("desk").unwrap();
    peers.declare(["till"].into_iter(), false);
    assert!(desk != second && peers.group(desk).is_none() && peers.named("till") != Some(desk));
}

#[test]
fn a_group_keeps_its_number_where_most_of_its_agents_are() {
    let mut peers = Peers::default();
    peers.regroup(&agents(20, None, 1), &[Some(0); 20]);
    let old = ids(&peers)[0];
    // Eight newcomers and two of the old group's; eight stay without a group.
    let of_the_old = |n| agents(n, Some(old), 1);
    let sample = [of_the_old(12), of_the_old(8), agents(8, None, 1)].concat();
    let labels = |of: [Option<u8>; 3]| [vec![of[0]; 12], vec![of[1]; 8], vec![of[2]; 8]].concat();
    let mut most = peers.clone();
    most.regroup(&sample, &labels([Some(1), Some(0), Some(0)]));
    let of = |peers: &Peers| peers.groups.iter().map(|g| (g.id == old, g.agents)).collect::<Vec<_>>();
    assert_eq!(of(&most), [(true, 12), (false, 16)]);
    peers.regroup(&sample, &labels([None, Some(0), Some(1)]));
    assert_eq!(of(&peers), [(false, 8), (false, 8)], "twelve of twenty are in none");
}

#[test]
fn beyond_sixteen_there_are_no_groups() {
    let mut peers = Peers::default();
    let sample: Vec<Sampled> = (0..16).flat_map(|g| agents(8, None, g)).collect();
    let labels: Vec<Option<u8>> = (0..128).map(|agent| Some(agent / 8)).collect();
    peers.regroup(&sample, &labels);
    assert_eq!((peers.groups.len(), peers.found_max()), (GROUPS_MAX, GROUPS_MAX));
    peers.declare(["a", "b"].into_iter(), false);
    assert_eq!((peers.groups.len(), peers.found().count()), (GROUPS_MAX, GROUPS_MAX - 2));
    peers.regroup(&sample, &labels);
    assert_eq!((peers.groups.len(), peers.found().count()), (GROUPS_MAX, GROUPS_MAX - 2));
}
