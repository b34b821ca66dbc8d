use agentbox::{
    enforce::verify,
    launch::{channel, command::*, message::*, *},
    outcome::*,
    plan::*,
    policy::Origin,
};
use std::collections::BTreeMap;
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let o = || Origin::agentbox("t");
    let uid = nix::unistd::getuid().as_raw();
    let gid = nix::unistd::getgid().as_raw();
    let root = uid == 0;
    let ro = |p: &str| MountOp::Bind {
        source: p.into(),
        target: p.into(),
        access: Access::Read,
        kind: if std::path::Path::new(p).is_dir() {
            Kind::Dir
        } else {
            Kind::File
        },
        idmap: false,
        create: false,
    };
    let ws = std::env::current_dir().unwrap();
    let home = "/home/xx";
    let mut ops = vec![
        ro("/usr"),
        MountOp::Symlink {
            target: "/bin".into(),
            to: "usr/bin".into(),
        },
        MountOp::Symlink {
            target: "/lib".into(),
            to: "usr/lib".into(),
        },
        MountOp::Symlink {
            target: "/lib64".into(),
            to: "usr/lib64".into(),
        },
        MountOp::Symlink {
            target: "/sbin".into(),
            to: "usr/sbin".into(),
        },
    ];
    for f in [
        "/etc/ld.so.cache",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/ssl/certs",
    ] {
        ops.push(ro(f));
    }
    ops.push(MountOp::File {
        target: "/etc/passwd".into(),
        mode: 0o644,
        content: format!("u:x:1000:1000::{home}:/bin/bash\n"),
    });
    ops.extend([
        MountOp::Proc,
        MountOp::Dev,
        MountOp::Tmpfs {
            target: "/tmp".into(),
            mode: 0o1777,
            size: 1 << 30,
        },
        MountOp::Tmpfs {
            target: home.into(),
            mode: 0o700,
            size: 1 << 30,
        },
        MountOp::Bind {
            source: ws.clone().into(),
            target: ws.clone().into(),
            access: Access::Write,
            kind: Kind::Dir,
            idmap: true,
            create: false,
        },
    ]);
    let plan = Plan {
        version: 1,
        command: Command {
            name: args[0].as_str().into(),
            program: Some(args[0].as_str().into()),
            argv: args.iter().map(|a| a.as_str().into()).collect(),
            cwd: ws.clone().into(),
            profiles: vec![],
        },
        workspace: Workspace {
            path: ws.clone().into(),
            real: ws.clone().into(),
        },
        identity: Identity {
            mode: if root {
                IdentityMode::Shifted
            } else {
                IdentityMode::Same
            },
            caller_uid: uid,
            caller_gid: gid,
            inner_uid: if root { 1000 } else { uid },
            inner_gid: if root { 1000 } else { gid },
            outer_uid: if root { 2_000_000_000 } else { uid },
            outer_gid: if root { 2_000_000_000 } else { gid },
            user: "u".into(),
            home: home.into(),
            shell: "/bin/bash".into(),
        },
        view: View { ops },
        landlock: vec![],
        env: Env {
            set: vec![EnvSet {
                name: "PATH".into(),
                value: "/usr/bin:/bin".into(),
                origin: o(),
            }],
            ..Default::default()
        },
        network: Network {
            mode: if std::env::var_os("HOSTNET").is_some() {
                NetworkMode::Host
            } else {
                NetworkMode::None
            },
            origin: o(),
        },
        limits: Limits {
            list: vec![],
            stop_grace: 3.0,
        },
        private_dirs: vec![],
        state: vec![],
        require: vec![],
        off: vec![],
        grants: vec![],
        path_dropped: vec![],
        notices: vec![],
    };
    let inputs = Inputs {
        caller_env: std::env::vars_os().collect(),
        given: BTreeMap::new(),
        session: "s".into(),
        outside: "/opt".into(),
        terminal: None,
        stdio: [const { Descriptor::Inherit }; 3],
        state: vec![],
        inherited: Inherited {
            mask: nix::sys::signal::SigSet::empty(),
            ignored: vec![],
            umask: nix::sys::stat::Mode::from_bits_truncate(0o22),
        },
    };
    let t = std::time::Instant::now();
    let sp = match spawn(&plan, inputs, None) {
        Ok(s) => s,
        Err(e) => {
            println!("spawn: {e}");
            return;
        }
    };
    let ready = match sp.ready(&plan) {
        Ok(s) => s,
        Err(e) => {
            println!("ready: {e}");
            return;
        }
    };
    let tr = t.elapsed();
    if std::env::var_os("V").is_some() {
        println!("{:?} in {:?}", ready.evidence, tr);
    }
    println!(
        "verify {:?} {:?}",
        verify::from_outside(&plan, ready.spawned.init),
        verify::namespaces(&plan, &ready.namespaces, &["user", "mnt", "net"])
    );
    ready.spawned.channel.send(&ToInit::Go, &[]).unwrap();
    loop {
        match ready.spawned.channel.recv::<FromInit>() {
            Ok(Some((FromInit::Ended { how, .. }, _))) => {
                println!("{how:?} {:?}", t.elapsed());
                break;
            }
            Ok(Some(_)) => {}
            x => {
                println!("{x:?}");
                break;
            }
        }
    }
    ready.spawned.destroy();
    println!("gone {:?}", t.elapsed());
    let _ = channel::pair;
}
