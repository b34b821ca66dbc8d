#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn cleaned(text: &str) -> Option<String> {
    clean(text.as_bytes())
        .unwrap()
        .map(|t| String::from_utf8(t).unwrap())
}

#[test]
fn what_goes_and_what_stays() {
    // (the text, what must not be left of it, what must be)
    for (text, gone, left) in [
        (
            "[http \"https://github.com/\"]\n\textraheader = AUTHORIZATION: basic QUJD\n",
            "QUJD",
            "",
        ),
        (
            "[http]\nEXTRAHEADER=AUTHORIZATION: basic QUJD\n[core]\n\tbare = false",
            "QUJD",
            "bare",
        ),
        (
            "[remote \"o\"]\nurl = https://me:s3cret@host/x.git\n",
            "s3cret",
            "https://host/x.git",
        ),
        (
            "[remote \"o\"]\npushurl = https://x-access-token:abc@github.com/x\n",
            "abc",
            "https://github.com/x",
        ),
        (
            "[remote \"o\"]\nurl = https://0123456789abcdef0123456789abcdef01234567@host/x\n",
            "0123456789",
            "https://host/x",
        ),
        (
            "[url \"https://u:s3cret@host/\"]\n\tinsteadOf = git@host:\n",
            "s3cret",
            "git@host:",
        ),
        (
            "[http]\n\tproxy = http://u:s3cret@proxy:3128\n",
            "s3cret",
            "http://proxy:3128",
        ),
        (
            "[credential]\n\thelper = store\n[user]\n\tname = A\n",
            "store",
            "name = \"A\"",
        ),
        (
            "[credential \"https://x\"]\n\thelper = !f() { echo password=x; }; f\n",
            "password",
            "",
        ),
        (
            "[remote \"o\"]\nurl = https://h/x?access_token=0123456789abcdef0123456789abcdef01234567\n",
            "0123456789",
            "\"https://h/x\"",
        ),
        (
            "[remote \"o\"]\nurl = https://h/x.git?a=b&private_token=s3cret\n",
            "s3cret",
            "https://h/x.git",
        ),
        (
            "[remote \"o\"]\nurl = \"https://h/https://u:s3cret@i/x#key=s3cret\"\n",
            "s3cret",
            "https://h/https://i/x",
        ),
        (
            "[remote \"o\"]\nurl = https://u:s3cret@h/x?service=git&token=\n",
            "s3cret",
            "https://h/x?service=git&token=",
        ),
        ("[github]\n\ttoken = abc\n\tuser = me\n", "abc", "me"),
        (
            "[sendemail]\n\tsmtpPass = abc\n\tsmtpUser = me\n",
            "abc",
            "me",
        ),
        (
            "[remote \"o\"]\nurl = ssh://git:s3cret@host/x\n",
            "s3cret",
            "ssh://git@host/x",
        ),
        ("[a]\nb = \"https://u:s3\\\"cret@h/\"\n", "cret", ""),
        (
            "[http]\n\textraheader = AUTHOR\\\n\tIZATION: QUJD\n[a]\n\tb = c\n",
            "QUJD",
            "b = \"c\"",
        ),
        (
            "[a] b = c # https://u:s3cret@host/\n",
            "s3cret",
            "b = \"c\"",
        ),
        ("; https://u:s3cret@host/\n[a]\nb\n", "s3cret", "[a]\n\tb\n"),
    ] {
        let Some(out) = cleaned(text) else {
            panic!("nothing went: {text}");
        };
        assert!(!out.contains(gone), "{text}\n->\n{out}");
        assert!(out.contains(left), "{text}\n->\n{out}");
        // What is clean stays as it is.
        assert_eq!(cleaned(&out), None, "{out}");
    }
}

#[test]
fn a_clean_text_is_left_alone() {
    for text in [
        "",
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n",
        "[remote \"origin\"]\n\turl = git@github.com:a/b.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n",
        "[remote \"origin\"]\n\turl = https://me@host/a/b.git\n",
        "[alias]\n\tlg = \"!git log | cat\" ; mine\n",
        "[includeIf \"gitdir:~/work/\"]\n\tpath = work.inc\n",
    ] {
        assert_eq!(cleaned(text), None, "{text}");
    }
}

#[test]
fn what_is_no_configuration_is_an_error_and_no_panic() {
    for text in [
        "[a",
        "[a \"b]",
        "[a]\nb = c\0d",
        "[a]\n= y",
        "[a]\nb = \"c",
        "[a]\nb = \\x",
        "[a]\nb c",
    ] {
        assert!(clean(text.as_bytes()).is_err(), "{text}");
    }
    let whole =
        b"[a \"b\\\"c\"]\n\tk = \"v \\n\\\\\" ; x\n[http \"https://u:p@h/\"]\n\textraheader = x\n";
    for cut in 0..whole.len() {
        let _ = clean(whole.get(..cut).unwrap());
    }
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0x5a;
        }
        let _ = clean(&bytes);
    }
}

/// Git reads what is written as it read what it was.
#[test]
fn git_agrees() {
    let dir = std::env::temp_dir().join(format!("agentbox-gitconfig-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let text = "[a \"b\\\"c\"]\n\tk = \"v  \\n\\\\\" ; x\n\tflag\n[core.Old] x = 1\n[a]\n e = a \\\n b\n t = x\\ty  \n[http]\n\textraheader = gone\n";
    let list = |name: &str, text: &[u8]| {
        let file = dir.join(name);
        std::fs::write(&file, text).unwrap();
        let out = std::process::Command::new("git")
            .args(["config", "--null", "--list", "--file"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let before = list("before", text.as_bytes());
    let after = list("after", &clean(text.as_bytes()).unwrap().unwrap());
    assert_eq!(before.replace("http.extraheader\ngone\0", ""), after);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A branch of that name made the configuration one that holds a credential, and its upstream was gone.
#[test]
fn names_of_branches_are_no_credentials() {
    const NAME: &str = "sk-fix-login-redirect-loop-2";
    let names = format!(
        "[remote \"o\"]\n\tfetch = +refs/heads/{NAME}:refs/remotes/o/{NAME}\n\
         [branch \"{NAME}\"]\n\tremote = o\n\tmerge = refs/heads/{NAME}\n\tvscode-merge-base = o/{NAME}\n"
    );
    assert_eq!(cleaned(&names), None);
    assert_eq!(comes_to_hold(b"", names.as_bytes(), &[]), None);
    for held in [
        "[branch \"b\"]\n\tremote = https://me:s3cret@host/x\n".to_owned(),
        "[branch \"https://me:s3cret@host\"]\n\tmerge = refs/heads/m\n".to_owned(),
        format!("[branch \"b\"]\n\tdescription = {NAME}\n"),
        format!("[remote \"o\"]\n\tfetch = refs/heads/x {NAME}\n"),
        format!("[x]\n\tk = {NAME}\n"),
    ] {
        assert!(cleaned(&held).is_some(), "{held}");
    }
}

/// A repository of that name had no URL in the box.
#[test]
fn names_in_small_letters_are_no_keys() {
    let url = |name: &str| format!("[remote \"o\"]\n\turl = https://github.com/org/{name}\n");
    assert_eq!(cleaned(&url("sk-learn-pipelines-examples.git")), None);
    for held in [
        url("sk-learn-pipelines-examp1es.git"),
        url("sk-learn-pipelines-examples sk-learn-pipelines-examplesX"),
        url("ghp_abcdefghijklmnopqrstuvwxyzabcdefghij"),
        "[sonar]\n\tdb-password = x\n".to_owned(),
        "[x]\n\tclientSecret = x\n".to_owned(),
        "[x]\n\tapi-key = x\n".to_owned(),
    ] {
        assert!(cleaned(&held).is_some(), "{held}");
    }
}

/// Who logs in by an address had a read-only configuration: an address is long, and no token.
#[test]
fn an_address_is_a_name() {
    let url = |user: &str| format!("[remote \"o\"]\n\turl = https://{user}@bitbucket.org/x/y\n");
    assert_eq!(cleaned(&url("firstname.lastname%40example.com")), None);
    for held in [
        "firstname.lastname%40example.com:s3cret",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz%40example.com",
        "0123456789abcdef0123.456789abcdef",
        "0123456789abcdef0123%40456789abcdef",
    ] {
        assert!(cleaned(&url(held)).is_some(), "{held}");
    }
}

#[test]
fn a_configuration_comes_to_hold_what_it_did_not() {
    const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
    let url = format!("[remote \"o\"]\n\turl = https://x-access-token:{TOKEN}@github.com/x\n");
    let plain = "[remote \"o\"]\n\turl = https://github.com/x\n";
    // "x-access-token:" and the token, as actions/checkout writes it.
    let header = "[http \"https://github.com/\"]\n\textraheader = AUTHORIZATION: basic \
        eC1hY2Nlc3MtdG9rZW46Z2hwXzAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==\n";
    let comment = format!("# {TOKEN}\n{plain}");
    let both = format!("{url}{header}");
    let known = [TOKEN.as_bytes().to_vec()];
    let mine = format!("{url}[credential]\n\thelper = store\n");
    for (base, now, known, holds) in [
        (plain, url.as_str(), &known[..0], true),
        (plain, header, &known[..0], true),
        (plain, &comment, &known[..0], true),
        // What was there was there, and what the box has it has; a helper says nothing.
        (&url, &url, &known[..0], false),
        (&url, &mine, &known[..0], false),
        (&url, &both, &known[..0], true),
        (plain, &url, &known[..], false),
        (plain, header, &known[..], false),
        (plain, &comment, &known[..], false),
        (plain, plain, &known[..0], false),
        ("", plain, &known[..0], false),
        (plain, "[remote \"o\"\n", &known[..0], false),
    ] {
        let shown = comes_to_hold(base.as_bytes(), now.as_bytes(), known);
        assert_eq!(shown.is_some(), holds, "{base} -> {now}");
        let shown = String::from_utf8(shown.unwrap_or_default()).unwrap();
        assert!(
            !shown.contains(TOKEN) && !shown.contains("extraheader"),
            "{shown}"
        );
    }
}

/// What is left of a text holds no credential, however it is put together.
#[test]
fn what_is_shown_has_nothing_left_to_take() {
    const PARTS: [&str; 22] = [
        "https://",
        "http://",
        "ssh://",
        "user",
        ":",
        "@",
        "/",
        "?",
        "#",
        "&",
        "token=x",
        "key=",
        " ",
        "\\n",
        "\\\"",
        "example.com",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "AKIAIOSFODNN7EXAMPLE",
        "Bearer ",
        "basic QUJDREVG",
        "//",
        "%40",
    ];
    let mut seed: u64 = 0x2026_1127;
    let mut below = |n: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % n
    };
    let mut held = 0;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..=below(3) {
            let mut value =
                || -> String { (0..below(9)).map(|_| PARTS[below(PARTS.len())]).collect() };
            let (name, value) = (value(), value());
            let section = ["remote", "http", "url", "x"][below(4)];
            let key = ["url", "insteadOf", "extraHeader", "k"][below(4)];
            text += &format!("[{section} \"{name}\"]\n\t{key} = \"{value}\"\n");
        }
        let Some(shown) = comes_to_hold(b"", text.as_bytes(), &[]) else {
            continue;
        };
        held += 1;
        let again = comes_to_hold(b"", &shown, &[]);
        assert_eq!(again, None, "{text}\n{}", String::from_utf8_lossy(&shown));
    }
    assert!(held > 5_000, "{held}");
}
