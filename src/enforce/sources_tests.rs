#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]
use super::*;
use crate::plan::names::{FoundName, How, NameKind};
use crate::sys::testing::scratch;

/// A frozen name that the host removes between plan and start ended the start with ENOENT.
#[test]
fn a_frozen_name_that_vanished_is_none() {
    let dir = scratch("vanished");
    let frozen = dir.path().join(".mcp.json");
    let view = View {
        ops: vec![MountOp::Bind {
            source: frozen.as_path().into(),
            target: frozen.as_path().into(),
            access: Access::Read,
            kind: Kind::File,
            idmap: false,
            create: false,
        }],
    };
    let names = Names {
        found: vec![FoundName {
            host: frozen.as_path().into(),
            targets: vec![frozen.as_path().into()],
            dir: Kind::File,
            kind: NameKind::Freeze,
            how: How::ReadOnly,
            rule: 0,
        }],
        ..Names::default()
    };
    let root = host_root().unwrap();
    let open = |names: &Names| {
        each_bind(&view, names, &Early::default(), |source, _, _, _| {
            open_place(root.as_fd(), source).map(Source::Place)
        })
    };
    assert!(matches!(open(&names).unwrap().as_slice(), [None]));
    // Twins: what is granted and not there ends the start, and what is there is opened.
    let errno = open(&Names::default()).map(drop).unwrap_err().errno;
    assert_eq!(errno, Errno::ENOENT);
    std::fs::write(&frozen, "{}").unwrap();
    assert!(matches!(open(&names).unwrap().as_slice(), [Some(_)]));
}
