use super::*;

const TOKEN: &str = "0123456789abcdef0123";

fn access(token: Option<&str>) -> Access {
    Access {
        token: token.map(|token| token.as_bytes().to_vec()),
        hosts: vec!["build7.example".to_owned()],
    }
}

fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    file
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    let token = file(&format!("{TOKEN}\n"), 0o600);
    for (address, beyond) in [
        ("127.0.0.1:1", false),
        ("127.9.9.9:1", false),
        ("[::1]:1", false),
        ("[::ffff:127.0.0.1]:1", false),
        ("0.0.0.0:1", true),
        ("[::]:1", true),
        ("192.168.0.7:1", true),
    ] {
        let addresses = ["127.0.0.1:2".parse().unwrap(), address.parse().unwrap()];
        let without = Access::new(&addresses, None, &[]);
        assert_eq!(
            matches!(without, Err(AccessError::NoToken(_))),
            beyond,
            "{address}"
        );
        assert!(Access::new(&addresses, Some(token.path()), &[]).is_ok());
    }
}

#[test]
fn a_token_that_is_none_is_refused() {
    let refused = |text: &str, mode| {
        let file = file(text, mode);
        Access::new(&[], Some(file.path()), &[]).err()
    };
    assert!(refused(TOKEN, 0o640).is_none());
    assert!(matches!(
        refused(TOKEN, 0o644),
        Some(AccessError::Public(_))
    ));
    for text in [
        "",
        "\n",
        "short",
        "two words of one token",
        "t\u{f6}kent\u{f6}kent\u{f6}ken",
    ] {
        assert!(
            matches!(refused(text, 0o600), Some(AccessError::Unfit(_))),
            "{text:?}"
        );
    }
    let long = "x".repeat(LONGEST_TOKEN + 1);
    assert!(matches!(refused(&long, 0o600), Some(AccessError::Unfit(_))));
    let none = Access::new(&[], Some(Path::new("/does/not/exist")), &[]).err();
    assert!(matches!(none, Some(AccessError::Unreadable { .. })));
}

#[test]
fn the_token_comes_as_bearer_or_as_password() {
    let access = access(Some(TOKEN));
    let basic = |pair: String| format!("Basic {}", BASE64_STANDARD.encode(pair));
    for (header, expected) in [
        (format!("Bearer {TOKEN}"), true),
        (format!("bearer  {TOKEN}"), true),
        (basic(format!("me:{TOKEN}")), true),
        (basic(format!(":{TOKEN}")), true),
        (format!("Bearer {TOKEN}x"), false),
        (format!("Bearer {}", &TOKEN[1..]), false),
        ("Bearer".to_owned(), false),
        ("Bearer ".to_owned(), false),
        (basic(TOKEN.to_owned()), false),
        (basic(format!("{TOKEN}:")), false),
        ("Basic !!!".to_owned(), false),
        (format!("Digest {TOKEN}"), false),
        (TOKEN.to_owned(), false),
    ] {
        assert_eq!(
            access.is_authorized(Some(header.as_bytes())),
            expected,
            "{header}"
        );
    }
    assert!(!access.is_authorized(None));
}

#[test]
fn names_that_are_not_ours_are_told_apart() {
    let access = access(None);
    for (host, ours) in [
        ("localhost", true),
        ("LocalHost:7070", true),
        ("127.0.0.1:7070", true),
        ("[::1]:7070", true),
        ("[::1]", true),
        ("build7.example:80", true),
        ("evil.example", false),
        ("localhost.evil.example:7070", false),
        ("127.0.0.1.evil.example", false),
        ("10.0.0.1", false),
        ("", false),
        (":80", false),
    ] {
        assert_eq!(access.is_our_name(host), ours, "{host}");
    }
}

#[test]
fn a_user_sees_and_records_what_is_his() {
    let other = Viewer::of(Peer::Unix { uid: 65534 });
    assert!(other.sees(65534) && !other.sees(0) && !other.sees(1000));
    assert_eq!(Viewer::of(Peer::Unix { uid: 0 }), Viewer::All);
    let own = nix::unistd::Uid::effective().as_raw();
    assert!(Viewer::Only(own).may_record(std::process::id()));
    assert!(!Viewer::Only(own + 1).may_record(std::process::id()));
    // nobody has this pid
    assert!(!Viewer::Only(own).may_record(u32::MAX >> 1));
}
