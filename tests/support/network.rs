//! A machine beside this one: a network namespace that can vanish without a word. It needs root.
//!
//! Both are taken away when it is dropped, also by a panic.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use crate::support::machine::run;
use crate::support::machine::skipped;

/// A namespace joined to this one by a pair of virtual interfaces.
pub(crate) struct Neighbour {
    /// Our address on the cable.
    pub(crate) here: IpAddr,
    name: String,
}

impl Neighbour {
    /// The neighbour of this number, on a network of its own; `None`: it cannot be had here, and that has been said.
    pub(crate) fn new(number: u8) -> Option<Self> {
        // Addresses that RFC 5737 keeps for documentation: no machine has them.
        let (here, there) = (Ipv4Addr::new(192, 0, 2, number * 4 + 1), Ipv4Addr::new(192, 0, 2, number * 4 + 2));
        let name = format!("elbow{}n{number}", std::process::id());
        if let Err(why) = run("ip", &["netns", "add", &name]) {
            return skipped(&why);
        }
        let neighbour = Self { here: here.into(), name };
        let (ours, theirs) = neighbour.ends();
        let inside = ["-n", &neighbour.name];
        let cable = || -> Result<(), String> {
            run("ip", &["link", "add", &ours, "type", "veth", "peer", "name", &theirs, "netns", &neighbour.name])?;
            run("ip", &["address", "add", &format!("{here}/30"), "dev", &ours])?;
            run("ip", &["link", "set", &ours, "up"])?;
            run("ip", &[&inside[..], &["address", "add", &format!("{there}/30"), "dev", &theirs]].concat())?;
            run("ip", &[&inside[..], &["link", "set", &theirs, "up"]].concat())?;
            Ok(())
        };
        match cable() {
            Ok(()) => Some(neighbour),
            Err(why) => skipped(&why),
        }
    }

    /// The names of both ends of the cable, ours first; the kernel takes at most 15 bytes.
    fn ends(&self) -> (String, String) {
        (format!("{}a", self.name), format!("{}b", self.name))
    }

    /// A program over there, with its input and output piped.
    #[track_caller]
    pub(crate) fn spawn(&self, program: &str, words: &[&str]) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program is there")
    }

    /// From now on nothing from over there arrives, and nobody is told: as from behind a router whose machine lost its
    /// power. A cable that is pulled would be known on this side, where the kernel then sends nothing at all.
    #[track_caller]
    pub(crate) fn vanish(&self) {
        run("ip", &["-n", &self.name, "route", "add", "blackhole", &format!("{}/32", self.here)]).expect("it is reachable");
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // The cable goes with it; where it fails, there is nothing left to do about it.
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}
