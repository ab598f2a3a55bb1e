//! What is refused: other people's programs, other people's pins, pins of another make.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use aya::maps::{HashMap, MapData};
use ravelin::blocklist::{AttachError, Blocklist, BlocklistError, Expiry, Pinned};
use ravelin::host;
use ravelin_common::{LAYOUT_VERSION, map};
use ravelin_tests::netns::{BpfDir, Pair};

use super::{CLIENT, SERVER, open, options, target};

#[test]
fn a_foreign_program_is_named_and_left_alone() {
    let (pair, theirs, ours) = (Pair::new(), BpfDir::new(), BpfDir::new());
    let (mut foreign, _opened) = open(&pair.server, &options(&theirs, &["s0"]));
    foreign.insert(target(CLIENT), Expiry::Permanent).unwrap();
    let before = pair.server.enter(|| host::link("s0")).unwrap().unwrap().xdp.unwrap();

    let (blocklist, opened) =
        pair.server.enter(|| Blocklist::open(&options(&ours, &["s0"]))).unwrap();
    match &opened.refused[..] {
        [AttachError::Foreign { interface, program_id, program_name }] => {
            assert_eq!(interface, "s0");
            assert_eq!(*program_id, before.program_id);
            assert_eq!(program_name.as_deref(), Some("ravelin"));
        }
        other => panic!("{other:?}"),
    }
    assert!(opened.refused[0].to_string().contains(&before.program_id.to_string()));
    assert!(blocklist.interfaces().is_empty());
    drop(blocklist);
    let after = pair.server.enter(|| host::link("s0")).unwrap().unwrap().xdp.unwrap();
    assert_eq!(after, before);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
}

#[test]
fn the_link_of_another_namespace_is_left_alone() {
    let (here, there, dir) = (Pair::new(), Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    let (mut blocklist, _opened) = open(&here.server, &wanted);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    drop(blocklist);

    let (blocklist, opened) = there.server.enter(|| Blocklist::open(&wanted)).unwrap();
    assert!(matches!(opened.refused[..], [AttachError::Elsewhere { .. }]), "{opened:?}");
    assert!(blocklist.interfaces().is_empty());
    assert!(here.client.is_cut_off(CLIENT, SERVER, 1));
    assert!(there.client.pings(CLIENT, SERVER, 1));
}

#[test]
fn a_newer_layout_is_refused_with_the_remedy() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    drop(open(&pair.server, &wanted));
    fs::create_dir(dir.path().join("v7")).unwrap();
    let error = pair.server.enter(|| Blocklist::open(&wanted)).err().unwrap();
    assert!(matches!(error, BlocklistError::NewerLayout { found: 7, .. }), "{error}");
    let told = error.to_string();
    assert!(told.contains("v7") && told.contains("remove"), "{told}");
    assert!(matches!(Pinned::open(dir.path()), Err(BlocklistError::NewerLayout { .. })));
    fs::remove_dir(dir.path().join("v7")).unwrap();
    drop(open(&pair.server, &wanted));
}

#[test]
fn a_pinned_map_of_another_shape_is_refused_by_path_and_property() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["s0"]);
    let (mut blocklist, _opened) = open(&pair.server, &wanted);
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    drop(blocklist);

    let pin = dir.path().join(format!("v{LAYOUT_VERSION}")).join(map::NETS_V6);
    fs::remove_file(&pin).unwrap();
    HashMap::<MapData, u64, u64>::create(16, 0).unwrap().pin(&pin).unwrap();
    let error = pair.server.enter(|| Blocklist::open(&wanted)).err().unwrap();
    match &error {
        BlocklistError::WrongShape { path, property, .. } => {
            assert_eq!((path, *property), (&pin, "type"));
        }
        other => panic!("{other}"),
    }
    assert!(matches!(Pinned::open(dir.path()), Err(BlocklistError::WrongShape { .. })));
    // Nothing was touched: what was protected is.
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));

    fs::remove_file(&pin).unwrap();
    let (_blocklist, opened) = open(&pair.server, &wanted);
    assert_eq!(opened.adopted, Some(1));
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    fs::create_dir(dir.path()).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = pair.server.enter(|| Blocklist::open(&options(&dir, &["s0"]))).err().unwrap();
    assert!(matches!(error, BlocklistError::Untrusted { mode: 0o777, .. }), "{error}");
}

#[test]
fn a_folder_off_bpffs_is_refused_with_the_remedy() {
    let (pair, dir) = (Pair::new(), tempfile::tempdir().unwrap());
    let mut wanted = options(&BpfDir::new(), &["s0"]);
    wanted.bpf_dir = dir.path().join("pins");
    let error = pair.server.enter(|| Blocklist::open(&wanted)).err().unwrap();
    assert!(error.to_string().contains("mount -t bpf"), "{error}");
    assert!(!wanted.bpf_dir.exists());
}

#[test]
fn an_interface_that_is_not_there_does_not_keep_the_others_from_being_protected() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = options(&dir, &["nosuch0", "s0"]);
    let (mut blocklist, opened) = pair.server.enter(|| Blocklist::open(&wanted)).unwrap();
    assert!(matches!(opened.refused[..], [AttachError::NoInterface { .. }]), "{opened:?}");
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
}
