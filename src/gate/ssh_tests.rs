#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::super::testing::mutate;
use super::*;

fn string(bytes: &[u8]) -> Vec<u8> {
    framed(bytes)
}

fn bind(host: &[u8], session: &[u8], forwarded: u8) -> Vec<u8> {
    let parts = [
        vec![EXTENSION],
        string(BIND),
        string(host),
        string(session),
        string(b"signature"),
        vec![forwarded],
    ];
    parts.concat()
}

fn login(session: &[u8], method: &[u8], key: &[u8], host: Option<&[u8]>) -> Vec<u8> {
    let mut out = [
        string(session),
        vec![USERAUTH],
        string(b"git"),
        string(b"ssh-connection"),
        string(method),
        vec![1],
        string(b"ssh-ed25519"),
        string(key),
    ]
    .concat();
    out.extend(host.map(string).unwrap_or_default());
    out
}

const BOUND: &[u8] = b"publickey-hostbound-v00@openssh.com";

#[test]
fn messages_are_read_whole_or_not_at_all() {
    let sign = [vec![SIGN], string(b"key"), string(b"data"), vec![0; 4]].concat();
    let want = Message::Sign {
        key: b"key",
        data: b"data",
    };
    assert_eq!(read(&sign), Some(want));
    let message = bind(b"host", b"session", 0);
    let want = Message::Bind(Bind {
        host_key: b"host",
        session: b"session",
        forwarded: false,
    });
    assert_eq!(read(&message), Some(want));
    assert_eq!(read(&[LIST]), Some(Message::List));
    assert_eq!(read(&[17, 1, 2, 3]), Some(Message::Other(17)));
    let other = [vec![EXTENSION], string(b"query")].concat();
    assert_eq!(read(&other), Some(Message::Other(EXTENSION)));
    for whole in [sign, message] {
        for length in 1..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        assert_eq!(read(&[whole, vec![0]].concat()), None);
    }
    assert_eq!(read(&[]), None);
    assert_eq!(read(&[LIST, 0]), None);
    // A length of 4 GiB.
    assert_eq!(read(&[SIGN, 255, 255, 255, 255, 0]), None);
}

#[test]
fn a_spoiled_bind_differs_in_the_session_only() {
    let message = bind(b"host", b"session", 0);
    let spoiled = spoiled(&message).unwrap();
    let Some(Message::Bind(other)) = read(&spoiled) else {
        unreachable!()
    };
    assert_eq!(other.host_key, b"host");
    assert_ne!(other.session, b"session");
    let differ = message.iter().zip(&spoiled).filter(|(a, b)| a != b);
    assert_eq!(differ.count(), 1);
    assert_eq!(super::spoiled(&bind(b"host", b"", 0)), None);
    assert_eq!(super::spoiled(&[LIST]), None);
}

#[test]
fn only_a_login_to_the_bound_server_is_signed() {
    let judge = |data: &[u8]| logs_in(data, b"key", b"session", b"host");
    let rows: [(&str, Vec<u8>, Result<(), &str>); 9] = [
        (
            "plain",
            login(b"session", b"publickey", b"key", None),
            Ok(()),
        ),
        (
            "bound",
            login(b"session", BOUND, b"key", Some(b"host")),
            Ok(()),
        ),
        (
            "another session",
            login(b"other", b"publickey", b"key", None),
            Err("another session"),
        ),
        (
            "another server",
            login(b"session", BOUND, b"key", Some(b"evil")),
            Err("another server"),
        ),
        (
            "another key",
            login(b"session", b"publickey", b"other", None),
            Err("another key"),
        ),
        (
            "another method",
            login(b"session", b"hostbased", b"key", None),
            Err("not a log-in"),
        ),
        ("a signed file", b"SSHSIG\0\0\0\x03git".to_vec(), Err("")),
        ("nothing", Vec::new(), Err("not a log-in")),
        (
            "more behind it",
            login(b"session", b"publickey", b"key", Some(b"x")),
            Err("not a log-in"),
        ),
    ];
    for (row, data, want) in rows {
        let got = judge(&data);
        match want {
            Ok(()) => assert_eq!(got, Ok(()), "{row}"),
            Err(word) => assert!(got.unwrap_err().contains(word), "{row}: {got:?}"),
        }
    }
    let whole = login(b"session", BOUND, b"key", Some(b"host"));
    for length in 0..whole.len() {
        assert!(judge(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn the_list_has_granted_keys_only() {
    let list = |keys: &[&[u8]]| {
        let count = u32::try_from(keys.len()).unwrap().to_be_bytes().to_vec();
        let each = keys
            .iter()
            .map(|key| [string(key), string(b"comment")].concat());
        [vec![IDENTITIES], count, each.collect::<Vec<_>>().concat()].concat()
    };
    let granted = |key: &[u8]| key == b"one" || key == b"three";
    let got = only_granted(&list(&[b"one", b"two", b"three"]), granted);
    assert_eq!(got, Some(framed(&list(&[b"one", b"three"]))));
    assert_eq!(only_granted(&list(&[]), granted), Some(framed(&list(&[]))));
    assert_eq!(only_granted(&[5], granted), None);
    let short = list(&[b"one"]);
    assert_eq!(only_granted(&short[..short.len() - 1], granted), None);
    // Says that there are 4 billion, and has one.
    let mut many = list(&[b"one"]);
    many[1] = 255;
    assert_eq!(only_granted(&many, granted), None);
}

#[test]
fn mutations_neither_panic_nor_sign_for_another_session() {
    let sign = [vec![SIGN], string(b"key"), string(b"data"), vec![0; 4]].concat();
    let bound = bind(b"host", b"session", 0);
    mutate(&[&sign, &bound], 20_000, |bytes| {
        if let Some(Message::Bind(bind)) = read(bytes)
            && !bind.session.is_empty()
        {
            let other = spoiled(bytes).unwrap();
            let Some(Message::Bind(other)) = read(&other) else {
                unreachable!("a spoiled bind is none")
            };
            assert!(other.host_key == bind.host_key && other.session != bind.session);
        }
    });
    let mut signed = 0;
    let plain = login(b"session", b"publickey", b"key", None);
    let hosted = login(b"session", BOUND, b"key", Some(b"host"));
    mutate(&[&plain, &hosted], 20_000, |bytes| {
        if logs_in(bytes, b"key", b"session", b"host").is_ok() {
            signed += 1;
            assert!(bytes.starts_with(&string(b"session")), "{bytes:?}");
            let (key, host) = (string(b"key"), string(b"host"));
            assert!(bytes.ends_with(&key) || bytes.ends_with(&[key, host].concat()));
        }
    });
    assert!(signed >= 2, "the seeds themselves");
    let keys = include_bytes!("../../fuzz/corpus/ssh/identities").as_slice();
    mutate(&[keys], 20_000, |bytes| {
        if let Some(answer) = only_granted(bytes, |key| key.len() % 2 == 0) {
            let again = only_granted(&answer[4..], |_| true);
            assert_eq!(again, Some(answer));
        }
    });
}
