use std::time::Duration;

use crate::setup::{Dir, error, load, with};

/// Asserts which values of a variable are accepted. The values are separated by `|`.
#[track_caller]
fn assert_accepts(variable: &str, accepted: &str, rejected: &str) {
    for value in accepted.split('|') {
        load(with([(variable, value)]));
    }
    for value in rejected.split('|') {
        let error = error(with([(variable, value)]));
        assert!(error.contains("): expected "), "{value:?}: {error}");
    }
}

#[test]
fn numbers_and_switches_are_written_as_in_toml() {
    let number = "SOVD__SERVER__PORT";
    assert_accepts(number, "1|9| 5 ", "-1|5.0||five|99999999999999999999|true");
    let switch = "SOVD__DISPATCH__ENABLED";
    assert_accepts(switch, "true|false| true ", "1|yes||TRUE");
}

#[test]
fn names_have_64_characters_and_begin_with_a_letter() {
    let (longest, too_long) = ("a".repeat(64), "a".repeat(65));
    assert_accepts(
        "SOVD__REDIS__KEY_PREFIX",
        &format!("mock|a|sovd-http_2|{longest}"),
        &format!("|2a|Mock|a b|{too_long}"),
    );
}

#[test]
fn hosts_are_addresses_or_host_names() {
    let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
    let name = format!("{longest}.{longest}.{longest}.{}", "a".repeat(61));
    assert_eq!(name.len(), 253);
    assert_accepts(
        "SOVD__SERVER__HOST",
        &format!("127.0.0.1|::1|0.0.0.0|localhost|api.example.com|{longest}|{name}"),
        &format!("|-a|a-|a..b|a_b|256.1.1.1|[::1]|a:80|{too_long}|{name}a"),
    );
}

#[test]
fn keys_are_enclosed_in_their_pem_labels() {
    let private = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----";
    let cut = public.trim_end_matches('-');
    for (variable, accepted, rejected) in [
        ("PRIVATE_KEY", private, public),
        ("PUBLIC_KEY", public, private),
    ] {
        let variable = format!("SOVD__AUDIT__CHECKPOINT_{variable}");
        let rejected = format!("key|{rejected}|{cut}");
        assert_accepts(&variable, &format!("|{accepted}"), &rejected);
    }
}

#[test]
fn database_urls_name_a_host_and_consistent_tls_parameters() {
    assert_accepts(
        "DATABASE_URL",
        "postgres://localhost\
         |postgresql://u:p@db:5432/sovd?sslmode=require\
         |postgres:///sovd?host=/var/run/postgresql\
         |postgres:///db?host=/run/a,/run/b\
         |postgres://u:p@one:1,two:2/db?target_session_attrs=read-write\
         |postgres://one,[::1]:5433/db\
         |postgres://one/db?sslmode=verify-full&sslrootcert=/ca.pem\
         |postgres://one/db?sslmode=verify-full&sslrootcert=system\
         |postgres://one/db?sslmode=require&sslcert=c.pem&sslkey=k.pem",
        "|localhost\
         |postgres:///sovd\
         |mysql://u:p@db/sovd\
         |postgres://u:a/b@db/x\
         |postgres://one,/db\
         |postgres://,/db\
         |postgres://one/db?sslmode=allow\
         |postgres://one/db?sslmode=\
         |postgres://one/db?sslmode=verify-full\
         |postgres://one/db?sslmode=verify-ca&sslrootcert=system\
         |postgres://one/db?sslcert=c.pem",
    );
}

#[test]
fn redis_urls_name_a_host() {
    assert_accepts(
        "REDIS_URL",
        "|redis://localhost|rediss://:p@cache:6380/1",
        "localhost:6379|redis://|http://cache|redis:///0",
    );
}

#[test]
fn browser_origins_are_spelled_as_browsers_send_them() {
    assert_accepts(
        "CORS_ORIGINS",
        "|*|https://a.example|http://localhost:3000, https://b.example",
        "https://a.example/\
         |https://a.example/app\
         |https://a.example:443\
         |https://A.example\
         |https://u:p@a.example\
         |ftp://a.example\
         |a.example\
         |https://a.example,,https://b.example",
    );
}

#[test]
fn networks_have_no_host_bits_and_are_not_all_addresses() {
    assert_accepts(
        "TRUSTED_PROXIES",
        "|10.0.0.1|::1|10.0.0.0/8, 2001:db8::/32|128.0.0.0/1|192.0.2.7/32|8000::/1",
        "10.0.0.1,|proxy.example|*|10.0.0.1/8|0.0.0.0/0|::/0|10.0.0.0/33|10.0.0/8\
         |::ffff:10.0.0.0/104|fe80::1%eth0",
    );
    for (proxies, expected) in [
        ("", vec![]),
        (
            "192.0.2.7, 10.0.0.0/8,::1,::ffff:10.0.0.1",
            vec!["192.0.2.7/32", "10.0.0.0/8", "::1/128", "10.0.0.1/32"],
        ),
    ] {
        let settings = load(with([("TRUSTED_PROXIES", proxies)])).settings;
        let networks = settings.server.trusted_networks();
        let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, expected);
    }
}

#[test]
fn command_names_have_1_to_100_letters_and_digits() {
    let (longest, too_long) = ("A".repeat(100), "A".repeat(101));
    assert_accepts(
        "SOVD__CONNECTOR__MOCK__ONLY",
        &format!("|ReadDTC|a|7|ReadDTC, ClearDTC|{longest}"),
        &format!("Read DTC|Read-DTC|LésDTC|ReadDTC,|,|{too_long}"),
    );
}

#[test]
fn agent_actions_are_an_account_and_a_permission() {
    let (longest, too_long) = ("a".repeat(50), "a".repeat(51));
    assert_accepts(
        "SOVD__AGENTS__ALLOW",
        &format!(
            "|fleet-monitor:commands.submit|7.a_b-c:x, b:commands.read_all\
             |{longest}:commands.submit"
        ),
        &format!(
            "fleet-monitor|fleet-monitor:|:commands.submit|Monitor:commands.submit\
             |-monitor:commands.submit|fleet monitor:commands.submit|monitor:commands:submit\
             |monitor:Commands.submit|monitor:commands.submit,|*:commands.submit|monitor:*\
             |{too_long}:commands.submit"
        ),
    );
}

#[test]
fn each_item_of_an_array_is_one_text() {
    for (array, is_accepted) in [
        ("[]", true),
        ("[\"ReadDTC\", \"ClearDTC\"]", true),
        ("[\"ReadDTC\", \"\"]", false),
        ("[\"ReadDTC,ClearDTC\"]", false),
        ("[5]", false),
        ("true", false),
    ] {
        let file = format!("connector.mock.only = {array}");
        let sources = Dir::with([("default.toml", &file)]);
        if is_accepted {
            load(sources.sources());
        } else {
            error(sources.sources());
        }
    }
}

#[test]
fn file_paths_do_not_name_directories() {
    assert_accepts(
        "SOVD__CONNECTOR__MOCK__JOURNAL",
        "|a|/var/lib/sovd/a b.jsonl|../a",
        "/|logs/|a\0b",
    );
}

#[test]
fn log_levels_are_levels_or_directives() {
    assert_accepts(
        "LOG_LEVEL",
        "info|WARN|warn,sovd_api=debug|off",
        "|loud|info,|sovd_api=loud|info, sovd_api=debug|=info|sovd_api",
    );
}

#[test]
fn durations_have_the_unit_of_their_key() {
    let settings = load(with([
        ("SOVD__AGENTS__RETENTION_DAYS", "3"),
        ("SOVD__AUDIT__RETENTION_DAYS", "4"),
        ("SOVD__COMMANDS__RETENTION_DAYS", "5"),
    ]))
    .settings;
    let days = |count: u64| Duration::from_hours(count * 24);
    assert_eq!(settings.database.checkout_timeout(), Duration::from_secs(3));
    assert_eq!(settings.auth.leeway(), Duration::from_secs(5));
    assert_eq!(settings.auth.access_ttl(), Duration::from_mins(15));
    assert_eq!(settings.auth.refresh_ttl(), days(7));
    assert_eq!(settings.auth.session_ttl(), days(30));
    let cache_ttl = settings.auth.credential_cache_ttl();
    assert_eq!(cache_ttl, Duration::from_secs(4));
    assert_eq!(settings.agents.window(), Duration::from_mins(10));
    assert_eq!(settings.agents.retention(), Some(days(3)));
    assert_eq!(settings.audit.seal_interval(), Some(Duration::from_secs(1)));
    assert_eq!(settings.audit.retention(), Some(days(4)));
    assert_eq!(settings.commands.retention(), Some(days(5)));
}

#[test]
fn zero_disables_sealing_and_pruning() {
    let settings = load(with([
        ("SOVD__AUDIT__SEAL_MS", "0"),
        ("SOVD__AUDIT__RETENTION_DAYS", "0"),
        ("SOVD__AGENTS__RETENTION_DAYS", "0"),
        ("SOVD__COMMANDS__RETENTION_DAYS", "0"),
    ]))
    .settings;
    assert_eq!(settings.audit.seal_interval(), None);
    assert_eq!(settings.audit.retention(), None);
    assert_eq!(settings.agents.retention(), None);
    assert_eq!(settings.commands.retention(), None);
}

#[test]
fn keeps_commands_and_audit_entries_by_default() {
    let settings = load(with([])).settings;
    assert_eq!(settings.commands.retention(), None);
    assert_eq!(settings.audit.retention(), None);
}
