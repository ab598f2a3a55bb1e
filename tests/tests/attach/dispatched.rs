//! Maps only: somebody else's loader attaches our program, and we feed its maps.
//!
//! Where the kernel lets xdp-loader have its dispatcher, the program runs under that (as in
//! `tests/kernels.rs`), elsewhere alone; either way it isn't ours on the interface.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ravelin::blocklist::{self, AttachError, Blocklist, Expiry, Mode, Options};
use ravelin::config::XdpMode;
use ravelin::host;
use ravelin_tests::netns::{BpfDir, Netns, Pair};

use super::{
    CLIENT, CLIENT_V6, SERVER, SERVER_V6, entry, in_time, open, options, target, wait_until,
};

const LOADER: &str = "/usr/sbin/xdp-loader";

/// xdp-loader with our object; what it has put on the interface goes with this.
struct Loader<'n> {
    netns: &'n Netns,
    object: tempfile::TempDir,
}

impl<'n> Loader<'n> {
    fn new(netns: &'n Netns, max: u32) -> Option<Self> {
        if !Path::new(LOADER).exists() {
            eprintln!("SKIPPED: no xdp-loader here (Debian's xdp-tools)");
            return None;
        }
        let object = tempfile::tempdir().unwrap();
        fs::write(object.path().join("ravelin.bpf.o"), blocklist::object(max).unwrap()).unwrap();
        Some(Self { netns, object })
    }

    fn object(&self) -> PathBuf {
        self.object.path().join("ravelin.bpf.o")
    }

    /// The command that a refusal offers.
    fn load(&self, maps: &Path) {
        let mut command = self.netns.command(LOADER);
        command.args(["load", "-n", "ravelin", "-p"]).arg(maps).arg("s0").arg(self.object());
        run(&mut command);
    }

    fn unload(&self) {
        run(self.netns.command(LOADER).args(["unload", "s0", "--all"]));
    }
}

/// Waits its turn: a lock file of the whole machine lets one xdp-loader or xdp-filter in.
fn run(command: &mut Command) {
    wait_until("xdp-loader has its turn", || {
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let waits = said.contains("lockfile");
        assert!(waits || output.status.success(), "{said}");
        !waits
    });
}

impl Drop for Loader<'_> {
    fn drop(&mut self) {
        // Also its pins, which the namespace's end would leave behind.
        drop(self.netns.command(LOADER).args(["unload", "s0", "--all"]).output());
    }
}

fn maps_only(dir: &BpfDir) -> Options {
    Options { xdp_mode: XdpMode::MapsOnly, ..options(dir, &["s0"]) }
}

fn attach(netns: &Netns, blocklist: &mut Blocklist) -> Result<Mode, AttachError> {
    netns.enter(|| blocklist.attach("s0").map(|attached| attached.mode))
}

#[test]
fn the_maps_of_a_program_that_another_loader_attached_are_fed() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    let wanted = maps_only(&dir);
    let Some(loader) = Loader::new(&pair.server, wanted.max) else { return };

    // We come first: there is nothing to feed, and it is said how it gets there.
    let (mut blocklist, opened) = pair.server.enter(|| Blocklist::open(&wanted)).unwrap();
    let refusal = opened.refused[0].to_string();
    let maps = dir.path().join("v2");
    assert!(refusal.contains("has no XDP program"), "{refusal}");
    let command = format!("xdp-loader load -n ravelin -p {} s0 ", maps.display());
    assert!(refusal.contains(&command), "{refusal}");
    assert_eq!(pair.server.enter(|| host::link("s0")).unwrap().unwrap().xdp, None);

    loader.load(&maps);
    assert_eq!(attach(&pair.server, &mut blocklist).unwrap(), Mode::MapsOnly);
    for ban in [CLIENT, "2001:db8:51::/64"] {
        blocklist.insert(target(ban), in_time(Duration::from_secs(60))).unwrap();
    }
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 3));
    assert!(pair.client.is_cut_off(CLIENT_V6, SERVER_V6, 3));
    // Changing it in place loses no hit, as ever.
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    assert_eq!(entry(&blocklist, CLIENT).packets, 5);

    // Another daemon finds it fed, and our end takes nothing off.
    drop(blocklist);
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 1));
    let (mut blocklist, opened) = open(&pair.server, &wanted);
    assert_eq!(opened.adopted, Some(2));
    assert_eq!(blocklist.interfaces()[0].mode, Mode::MapsOnly);

    loader.unload();
    assert!(pair.client.pings(CLIENT, SERVER, 1));
    let error = attach(&pair.server, &mut blocklist).unwrap_err();
    assert!(matches!(error, AttachError::Unfed { .. }), "{error}");
    assert!(blocklist.interfaces().is_empty());
}

#[test]
fn the_same_program_with_other_maps_is_not_fed_and_is_left_alone() {
    let (pair, dir, others) = (Pair::new(), BpfDir::new(), BpfDir::new());
    let wanted = maps_only(&dir);
    let Some(loader) = Loader::new(&pair.server, wanted.max) else { return };
    let maps = others.path().join("v2");
    fs::create_dir_all(&maps).unwrap();
    loader.load(&maps);
    let program = || pair.server.enter(|| host::link("s0")).unwrap().unwrap().xdp.unwrap();
    let before = program();

    let (_blocklist, opened) = pair.server.enter(|| Blocklist::open(&wanted)).unwrap();
    let refusal = opened.refused[0].to_string();
    assert!(refusal.contains("doesn't use our maps"), "{refusal}");
    assert_eq!(program(), before);

    // And who attaches by itself offers it.
    let wanted = options(&dir, &["s0"]);
    let (_blocklist, opened) = pair.server.enter(|| Blocklist::open(&wanted)).unwrap();
    let refusal = opened.refused[0].to_string();
    assert!(refusal.contains("`xdp_mode: maps-only`"), "{refusal}");
    assert_eq!(program(), before);

    // Whose maps they are, though, adopts what the loader has made.
    let (mut blocklist, opened) = open(&pair.server, &maps_only(&others));
    assert_eq!((opened.adopted, opened.kept_max), (Some(0), None));
    blocklist.insert(target(CLIENT), Expiry::Permanent).unwrap();
    assert!(pair.client.is_cut_off(CLIENT, SERVER, 2));
    assert_eq!(entry(&blocklist, CLIENT).packets, 2);
}

#[test]
fn what_we_have_attached_ourselves_isnt_taken_for_anothers() {
    let (pair, dir) = (Pair::new(), BpfDir::new());
    drop(open(&pair.server, &options(&dir, &["s0"])));
    let (_blocklist, opened) = pair.server.enter(|| Blocklist::open(&maps_only(&dir))).unwrap();
    let refusal = opened.refused[0].to_string();
    let remedy = format!("rm {}", dir.path().join("links/s0").display());
    assert!(refusal.contains(&remedy), "{refusal}");
    assert!(pair.server.enter(|| host::link("s0")).unwrap().unwrap().xdp.is_some());
}
