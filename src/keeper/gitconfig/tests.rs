#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn cleaned(base: &str, now: &str) -> (String, Vec<&'static str>) {
    match clean(base.as_bytes(), now.as_bytes(), None, &mut |_: &[u8]| true).unwrap() {
        Some(cleaned) => (String::from_utf8(cleaned.text).unwrap(), cleaned.taken),
        None => (now.to_owned(), Vec::new()),
    }
}

const ORDINARY: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n[remote \"origin\"]\n\turl = https://x/y\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n";

#[test]
fn what_does_not_execute_stays() {
    for now in [
        ORDINARY,
        "",
        "# only a comment",
        "[alias]\n\tst = status\n\tlg = log --oneline --graph -20\n\tunstage = reset HEAD --\n\tci = commit -am\n[submodule \"a\"]\n\tupdate = rebase\n\turl = ../a\n\tactive = true\n",
        "[remote \"o\"]\n\turl = ./bare.git\n\turl = /w/bare.git\n\turl = git@host:node_modules/x\n\turl = https://h/node_modules/x\n",
        "[rebase]\n\tinstructionFormat = %s (%an, %h)\n\tinstructionFormat =\n[diff]\n\ttool = vimdiff\n\tguitool = meld\n[merge]\n\ttool = x\n[pull]\n\ttwohead = ort\n",
        "[annex]\n\tuuid = x\n\tversion = 10\n[remote \"o\"]\n\tannex-uuid = x\n\tannex-ignore = true\n",
        "[mergetool]\n\tlayout = x\n[mergetool \"vimdiff\"]\n\thideResolved = true\n[format]\n\toutputDirectory = out\n",
        "[submodule \"a\"]\n\tgitdir = .git/modules/a\n",
        "[user]\n\tname = A\n[lfs]\n\trepositoryformatversion = 0\n[gc]\n\tauto = 0\n",
    ] {
        assert_eq!(cleaned("", now), (now.to_owned(), vec![]), "{now}");
    }
}

#[test]
fn every_way_to_write_an_executing_entry_is_seen() {
    let rows = [
        ("[core]\n\thooksPath = x\n", "core.hookspath"),
        ("[CORE]HOOKSPATH=x", "core.hookspath"),
        (
            "[core] bare = false\n hooksPath = x # why",
            "core.hookspath",
        ),
        (
            "\u{feff}[core]\n fsmonitor = \"a\\\"b\"\\\n c\n",
            "core.fsmonitor",
        ),
        ("[core]\r\n\tpager = x\r\n", "core.pager"),
        ("[core]\n\tfsmonitor\n", "core.fsmonitor"),
        ("[filter \"a]b\\\"c\"]\nclean = x", "filter.*.clean"),
        ("[filter.lfs]\nprocess = x", "filter.*.process"),
        (
            "[mergetool \"vimdiff\"]\nlayout = LOCAL,`x`",
            "mergetool.*.layout",
        ),
        ("[mergetool.nvimdiff]\nlayout = x", "mergetool.*.layout"),
        ("[instaweb]\ngitwebdir = x", "instaweb.gitwebdir"),
        (
            "[format]\noutputDirectory = ../x",
            "format.outputdirectory=/",
        ),
        ("[stgit \"alias\"]\nx = !x", "stgit.alias.*"),
        ("[gcrypt]\ngpg-args = x", "gcrypt.?"),
        (
            "[remote \"o\"]\ngcrypt-rsync-put-flags = x",
            "remote.*.gcrypt-*",
        ),
        ("[alias]\n\tx = !sh\n", "alias.?=$"),
        ("[alias]\n\tx = \"!sh\"\n", "alias.?=$"),
        ("[alias]\n\tx = \\\n!sh\n", "alias.?=$"),
        ("[alias \"x\"]\n\tcommand = !sh\n", "alias.?=$"),
        ("[alias \"x\"]\n\tcommand = sh\n", "alias.?=$"),
        ("[credential]\nhelper=x", "credential.?"),
        ("[credential \"https://a\"]\nhelper=x", "credential.?"),
        ("[includeIf \"gitdir:~/\"]\npath = x", "includeif.*.path"),
        ("[include]\npath = x", "include.path"),
        ("[url \"x\"]\ninsteadOf = y", "url.*.insteadof"),
        ("[pager]\nlog = x", "pager.?"),
        ("[submodule \"a\"]\nupdate = !x", "submodule.*.update=!"),
        (
            "[submodule \"a\"]\ngitdir = node_modules/x",
            "submodule.*.gitdir=@",
        ),
        ("[transcrypt]\ncrypt-dir = x", "transcrypt.?"),
        ("[remote \"o\"]\nuploadpack = x", "remote.*.uploadpack"),
        (
            "[lfs \"customtransfer.x\"]\npath = x",
            "lfs.customtransfer.*.path",
        ),
        (
            "[lfs.customtransfer \"x\"]\npath = x",
            "lfs.customtransfer.*.path",
        ),
        ("[filter.a \"b\"]\nclean = x", "filter.*.clean"),
        ("[diff]\nexternal = x", "diff.external"),
        ("[core]\nworktree = /x", "core.worktree"),
        ("[http \"https://x\"]\nproxy = x", "http.?.proxy"),
        ("[remote \"o\"]\nurl = ./node_modules/x", "remote.*.url=@"),
        (
            "[remote \"o\"]\npushurl = file:///w/.git/objects/x",
            "remote.*.pushurl=@",
        ),
        (
            "[branch \"b\"]\npushRemote = /h/.local/share/agentbox/private/x",
            "branch.*.pushremote=@",
        ),
        (
            "[rebase]\ninstructionFormat = %s%nexec x",
            "rebase.instructionformat=%",
        ),
        (
            "[rebase]\ninstructionFormat = \"%s\\nexec x\"",
            "rebase.instructionformat=%",
        ),
        (
            "[rebase]\ninstructionFormat = %s%x0aexec x",
            "rebase.instructionformat=%",
        ),
        (
            "[rebase]\ninstructionFormat = %s%+s",
            "rebase.instructionformat=%",
        ),
        (
            "[rebase]\ninstructionFormat = %B",
            "rebase.instructionformat=%",
        ),
        (
            "[rebase]\ninstructionFormat = fuller",
            "rebase.instructionformat=%",
        ),
        (
            "[rebase]\ninstructionFormat = format:%s",
            "rebase.instructionformat=%",
        ),
        ("[diff]\ntool = ../../x", "diff.tool=/"),
        ("[diff]\nguiTool = ../../x", "diff.guitool=/"),
        ("[merge]\ntool = ../../x", "merge.tool=/"),
        ("[merge]\nguitool = ../../x", "merge.guitool=/"),
        ("[pull]\ntwohead = x/y", "pull.twohead=/"),
        ("[secrets]\nproviders = x", "secrets.providers"),
        ("[annex]\nsecure-erase-command = x", "annex.*command"),
        ("[annex]\nx-store-hook = x", "annex.*hook"),
        (
            "[remote \"o\"]\nannex-ssh-options = x",
            "remote.*.annex-*options",
        ),
        (
            "[remote \"o\"]\nannex-start-command = x",
            "remote.*.annex-*command",
        ),
        ("[instaweb]\nmodulePath = x", "instaweb.modulepath"),
        ("[gui]\neditor = x", "gui.editor"),
        ("[alias]\n\tst = difftool -x x\n", "alias.?=$"),
        ("[alias]\n\tst = log --output=/x\n", "alias.?=$"),
        ("[alias]\n\tst = log --outp=/x\n", "alias.?=$"),
        ("[alias]\n\tst = diff -Ox\n", "alias.?=$"),
        ("[alias]\n\tst = \"log \\\"--output=x\\\"\"\n", "alias.?=$"),
        ("[alias]\n\tst = push ../x\n", "alias.?=$"),
        ("[alias]\n\tst\n", "alias.?=$"),
        (
            "[remote \"o\"]\nurl = file:///w/node%5Fmodules/x",
            "remote.*.url=@",
        ),
        (
            "[remote \"o\"]\nurl = /w/target/x/../debug/x",
            "remote.*.url=@",
        ),
        (
            "[remote \"o\"]\nurl = ./a:b/../node_modules/x",
            "remote.*.url=@",
        ),
        ("[credential]\ntraceSecrets = true", "credential.?"),
        ("[delta \"x\"]\npager = x", "delta.?.pager"),
        ("[gpg \"ssh\"]\nprogram = x", "gpg.*.program"),
        ("[hook \"x\"]\ncommand = y", "hook.*.command"),
        (
            "[branch \"m\"]\nmergeOptions = --no-edit -F /h/.netrc",
            "branch.*.mergeoptions",
        ),
        ("[commit]\ntemplate = ~/.netrc", "commit.template=/"),
        ("[format]\nsignatureFile = x", "format.signaturefile"),
        (
            "[push]\npushOption = merge_request.create",
            "push.pushoption",
        ),
        ("[lfs]\nstorage = ../x", "lfs.storage=/"),
        ("[cola]\nblameviewer = x", "cola.blameviewer"),
    ];
    for (now, row) in rows {
        // A byte order mark is one at the start of the file only.
        if now.starts_with('\u{feff}') {
            let (text, taken) = cleaned("", now);
            assert_eq!(taken, [row], "{now}");
            assert_eq!(executing(text.as_bytes()).unwrap(), [""; 0], "{now}");
            continue;
        }
        let (text, taken) = cleaned(ORDINARY, &format!("{ORDINARY}{now}"));
        assert_eq!(taken, [row], "{now}");
        assert_eq!(
            executing(text.as_bytes()).unwrap(),
            [""; 0],
            "{now} -> {text}"
        );
        assert!(text.starts_with(ORDINARY), "{text}");
    }
}

/// A path of a URL is asked about, as git takes it; what is elsewhere is not.
#[test]
fn where_a_path_leads_is_asked() {
    let text = "[remote \"a\"]\nurl = /w/link\n[remote \"b\"]\nurl = file://h/w%2flink\n[remote \"c\"]\nurl = h:/w/link\n\
                [remote \"d\"]\nurl = https://h/link\n[remote \"e\"]\nurl = ../plain\n";
    let mut asked = Vec::new();
    let mut leads = |path: &[u8]| {
        asked.push(String::from_utf8(path.to_vec()).unwrap());
        !path.ends_with(b"link")
    };
    let found = clean(b"", text.as_bytes(), None, &mut leads)
        .unwrap()
        .unwrap();
    assert_eq!(asked, ["/w/link", "/h/w/link", "../plain"]);
    assert_eq!(found.taken, ["remote.*.url=@"]);
    let left = String::from_utf8(found.text).unwrap();
    assert!(
        left.contains("h:/w/link") && left.contains("https://h/link") && left.contains("../plain")
    );
    assert!(
        !left.contains(" /w/link") && !left.contains("file:"),
        "{left}"
    );
}

#[test]
fn remotes_that_lead_elsewhere_are_seen() {
    let base = ORDINARY;
    for (now, elsewhere) in [
        (base.to_owned(), false),
        (
            format!("{base}[remote \"fork\"]\nurl = https://f/y\n"),
            false,
        ),
        (
            format!("{base}[branch \"next\"]\nremote = fork\nmerge = refs/heads/next\n"),
            false,
        ),
        (base.replace("https://x/y", "https://evil/y"), true),
        (
            format!("{base}[remote \"origin\"]\npushurl = https://evil/y\n"),
            true,
        ),
        (
            format!("{base}[remote \"origin\"]\nurl = https://evil/y\n"),
            true,
        ),
        (format!("{base}[remote]\npushDefault = fork\n"), true),
        (
            format!("{base}[branch \"next\"]\npushRemote = fork\n"),
            true,
        ),
        (base.replace("remote = origin", "remote = fork"), true),
        (
            format!(
                "{base}[remote \"origin\"]\nfetch = +refs/pull/1/head:refs/remotes/origin/main\n"
            ),
            true,
        ),
        (
            format!("{base}[branch \"main\"]\nmerge = refs/pull/1/head\n"),
            true,
        ),
        // A branch that was there and had no entry.
        (
            format!("{base}[branch \"old\"]\nremote = fork\nmerge = refs/heads/old\n"),
            true,
        ),
        (
            format!("{base}[branch \"old\"]\nremote = https://evil/y\n"),
            true,
        ),
        (
            format!("{base}[branch \"old\"]\nremote = origin\nmerge = refs/pull/1/head\n"),
            true,
        ),
        (
            format!("{base}[branch \"old\"]\nremote = origin\nmerge = refs/heads/old\n"),
            false,
        ),
        (
            format!("{base}[branch \"old\"]\nremote = .\nmerge = refs/heads/main\n"),
            false,
        ),
        ("[core]\nbare = false\n".to_owned(), false),
        ("[core".to_owned(), false),
    ] {
        assert_eq!(
            leads_elsewhere(base.as_bytes(), now.as_bytes(), |name| name == b"old"),
            elsewhere,
            "{now}"
        );
    }
}

/// Git takes `origin`, or the only one, where nothing else is said.
#[test]
fn a_new_origin_beside_other_remotes_leads_elsewhere() {
    let base = "[remote \"up\"]\nurl = https://x/y\n[submodule \"s\"]\nurl = https://x/s\n";
    let origin = "[remote \"origin\"]\nurl = https://evil/y\n";
    let elsewhere =
        |base: &str, now: &str| leads_elsewhere(base.as_bytes(), now.as_bytes(), |_: &[u8]| false);
    assert!(elsewhere(base, &format!("{base}{origin}")));
    assert!(!elsewhere(
        base,
        &format!("{base}{}", origin.replace("origin", "fork"))
    ));
    assert!(!elsewhere("[core]\nbare = false\n", origin));
    assert!(elsewhere(base, &base.replace("x/s", "evil/s")));
    let new = "[submodule \"t\"]\nurl = https://x/t\n";
    assert!(!elsewhere(base, &format!("{base}{new}")));
}

/// `git lfs install --local` in a box: its programs were undone, and `git add` outside failed for what was left.
#[test]
fn a_filter_is_not_required_without_its_programs() {
    let made =
        "[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n\trequired = true\n[lfs]\n\tx = y\n";
    let (text, taken) = cleaned("", made);
    assert_eq!(taken, ["filter.*.clean", "filter.*.required"]);
    assert!(
        !text.contains("required") && text.contains("x = y"),
        "{text}"
    );
    // Of the host's own nothing goes.
    assert_eq!(cleaned(made, made), (made.to_owned(), vec![]));
}

#[test]
fn what_was_there_before_stays_and_comes_back() {
    let base = "[core]\n\thooksPath = .husky\n[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n";
    assert_eq!(cleaned(base, base), (base.to_owned(), vec![]));
    let (text, taken) = cleaned(base, "[core]\n\tbare = false\n\thooksPath = /tmp/x\n");
    assert_eq!(taken, ["core.hookspath", "filter.*.clean"]);
    assert_eq!(
        text,
        "[core]\n\tbare = false\n[core]\n\thookspath = \".husky\"\n[filter \"lfs\"]\n\tclean = \"git-lfs clean -- %f\"\n"
    );
    // And what was written is what was there.
    assert_eq!(cleaned(base, &text), (text.clone(), vec![]));
    // A value that was there is not one that may come twice.
    let (_, taken) = cleaned("[core]\neditor=a", "[core]\neditor=a\neditor=a\n");
    assert_eq!(taken, ["core.editor"]);
}

#[test]
fn an_entry_on_the_line_of_its_header_goes_without_it() {
    let (text, _) = cleaned("", "[core] pager = x\n\tbare = true\n");
    assert_eq!(text, "[core] \n\tbare = true\n");
}

#[test]
fn what_git_refuses_is_an_error() {
    for text in [
        "[core",
        "[core\n]",
        "[core] =",
        "1",
        "[core]\nx y",
        "[a \"b]\n",
        "[a \"b\" ]",
        "[core]\nx = \"y\n",
        "[core]\nx = \\q",
        "[c_d]",
        "[core \"hooksPath\0\"]\nx = y",
    ] {
        assert!(
            matches!(
                clean(b"", text.as_bytes(), None, &mut |_: &[u8]| true),
                Err(ConfigError::Bad { .. })
            ),
            "{text}"
        );
    }
    assert_eq!(
        clean(b"", &vec![b'\n'; MAX + 1], None, &mut |_: &[u8]| true),
        Err(ConfigError::TooLarge)
    );
}

#[test]
fn every_row_is_reached() {
    for row in EXECUTING {
        let (pattern, value) = match row.split_once('=') {
            Some((pattern, "@")) => (pattern, "node_modules/x"),
            Some((pattern, "/")) => (pattern, "x/y"),
            Some((pattern, _)) => (pattern, "!x"),
            None => (*row, "!x"),
        };
        let pattern = match pattern.rsplit_once('.') {
            Some((start, key)) => format!("{start}.{}", key.replace('*', "x-")),
            None => panic!("{row}"),
        };
        let words: Vec<&str> = pattern.split('.').collect();
        let text = match words.as_slice() {
            [s, "?"] => format!("[{s}]\nname = {value}\n"),
            [s, k] => format!("[{s}]\n{k} = {value}\n"),
            [s, "*" | "?", k] => format!("[{s} \"Sub\"]\n{k} = {value}\n"),
            [s, name, k] => format!("[{s} \"{name}\"]\n{k} = {value}\n"),
            [s, g, _, k] => format!("[{s} \"{g}.Sub\"]\n{k} = {value}\n"),
            _ => panic!("{row}"),
        };
        assert!(
            !executing(text.as_bytes()).unwrap().is_empty(),
            "{row}: {text}"
        );
    }
}

#[test]
fn mutations_end_and_never_leave_an_entry() {
    let corpus = ORDINARY.to_owned()
        + "[filter \"a\\\"b\"]\n clean = \"x \\t\" ; c\n[core]\n\tfsmonitor = a\\\n b\n[alias]\nx = !y\n";
    let mut seed = 7u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 40).unwrap()
    };
    for _ in 0..20_000 {
        let mut text = corpus.clone().into_bytes();
        for _ in 0..next() % 6 {
            let at = next() % text.len();
            let byte = *b"\n\r\"\\[]=#; !\tax.\0\xff".get(next() % 17).unwrap();
            match next() % 3 {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        if let Ok(Some(cleaned)) = clean(b"", &text, None, &mut |_: &[u8]| true) {
            // Taking an entry out may at worst leave a text that git refuses.
            let left = executing(&cleaned.text).unwrap_or_default();
            assert!(
                left.is_empty(),
                "{left:?} in {:?}",
                String::from_utf8_lossy(&cleaned.text)
            );
        }
    }
}

/// Found by libFuzzer: the header that was put back became a part of the value before it, and the entry one of no section.
#[test]
fn what_is_put_back_after_a_backslash_at_the_end_stands_for_itself() {
    for end in ["\\", "\\\n", "\\\r\n", "# c\\", "x"] {
        let now = format!("[user]\n\tname = a{end}");
        let (text, taken) = cleaned("[core]\n\thooksPath = h\n", &now);
        assert_eq!(taken, ["core.hookspath"], "{end:?}");
        assert_eq!(
            executing(text.as_bytes()).unwrap(),
            ["core.hookspath"],
            "{end:?}: {text:?}"
        );
    }
}

#[test]
fn remotes_that_are_paths_are_told_from_others_and_can_be_left_out() {
    let text = "[remote \"o\"]\n\turl = ./l/x\n\turl = https://h/x\n\tpushurl = /w/l/y\n[branch \"b\"]\n\tremote = o\n";
    let paths = local_paths(text.as_bytes());
    assert_eq!(
        paths,
        [b"./l/x".to_vec(), b"/w/l/y".to_vec(), b"o".to_vec()]
    );
    let left = without_paths(text.as_bytes(), |path| path.ends_with(b"/l/y"));
    assert_eq!(
        String::from_utf8(left).unwrap(),
        text.replace("\tpushurl = /w/l/y\n", "")
    );
    assert_eq!(without_paths(text.as_bytes(), |_| false), text.as_bytes());
}
