use std::{collections::BTreeMap, env, fs, path::PathBuf, process::Command};

use cargo_metadata::{MetadataCommand, Package};

use super::page::{pages, root};

/// Subcommands of cargo that the documentation may use.
const SUBCOMMANDS: [&str; 8] = [
    "bench", "build", "clippy", "deny", "doc", "fmt", "run", "test",
];

/// What the commands of the documentation may refer to.
struct Project {
    packages: Vec<Package>,
    /// The package of each alias.
    aliases: BTreeMap<String, String>,
    recipes: Vec<String>,
}

impl Project {
    fn read() -> Self {
        let manifest = root().join("Cargo.toml");
        let mut metadata = MetadataCommand::new();
        let metadata = metadata.manifest_path(manifest).no_deps().exec().unwrap();
        let config = fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
        let alias = |line: &str| {
            let (name, command) = line.split_once(" = ")?;
            let mut words = command.trim_matches('"').split(' ');
            words.find(|word| *word == "--package")?;
            Some((name.to_owned(), words.next()?.to_owned()))
        };
        let justfile = fs::read_to_string(root().join("justfile")).unwrap();
        let recipe = |line: &str| {
            let head = line.split_once(':')?.0;
            let is_recipe = head.starts_with(|c: char| c.is_ascii_lowercase());
            let name = head.split(' ').next().filter(|_| is_recipe)?;
            Some(name.to_owned())
        };
        Self {
            packages: metadata.packages,
            aliases: config.lines().filter_map(alias).collect(),
            recipes: justfile.lines().filter_map(recipe).collect(),
        }
    }

    fn package(&self, name: &str) -> Result<&Package, String> {
        let mut packages = self.packages.iter();
        packages
            .find(|package| package.name == name)
            .ok_or(format!("there is no package {name}"))
    }

    /// Why `command` does not run.
    fn check(&self, command: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let is_assignment = |word: &&&str| word.contains('=') && !word.starts_with('-');
        let words = &words[words.iter().take_while(is_assignment).count()..];
        match words {
            ["cargo", subcommand, rest @ ..] => self.check_cargo(subcommand, rest),
            [] | [_] => Ok(()),
            ["just", recipe, ..] => {
                let exists = self.recipes.iter().any(|known| known == recipe);
                exists.then_some(()).ok_or(format!("no recipe {recipe}"))
            }
            [program, arguments @ ..] => {
                let mut targets = self.packages.iter().flat_map(|package| {
                    let targets = package.targets.iter().filter(|target| target.is_bin());
                    targets.map(move |target| (package, target.name.as_str()))
                });
                match targets.find(|(_, name)| name == program) {
                    Some((package, _)) => accepts(package, arguments),
                    None => Ok(()),
                }
            }
        }
    }

    fn check_cargo(&self, subcommand: &str, rest: &[&str]) -> Result<(), String> {
        if let Some(package) = self.aliases.get(subcommand) {
            return accepts(self.package(package)?, rest);
        }
        if !SUBCOMMANDS.contains(&subcommand) {
            return Err(format!("cargo has no {subcommand}"));
        }
        let (flags, arguments) = match rest.iter().position(|word| *word == "--") {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &rest[..0]),
        };
        let value_of = |names: &[&str]| {
            let at = flags.iter().position(|flag| names.contains(flag))?;
            flags.get(at + 1).copied()
        };
        let package = value_of(&["-p", "--package"]).map(|name| self.package(name));
        let package = package.transpose()?;
        for kind in ["--bench", "--bin", "--example", "--test"] {
            let Some(name) = value_of(&[kind]) else {
                continue;
            };
            let is_in = |package: &&Package| package.targets.iter().any(|one| one.name == name);
            let exists = match package {
                Some(package) => is_in(&package),
                None => self.packages.iter().any(|package| is_in(&package)),
            };
            if !exists {
                return Err(format!("there is no {kind} {name}"));
            }
        }
        match package {
            Some(package) if subcommand == "run" && !arguments.is_empty() => {
                accepts(package, arguments)
            }
            _ => Ok(()),
        }
    }
}

/// Whether the program of `package` accepts `arguments`. `--help` behind them ends the program once it
/// has parsed them.
fn accepts(package: &Package, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program(package))
        .args(arguments)
        .arg("--help")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or(stderr)
}

/// The program of `package`, which a test of the workspace has built beside this one.
fn program(package: &Package) -> PathBuf {
    let target = package.targets.iter().find(|target| target.is_bin());
    let this = env::current_exe().unwrap();
    let profile = this.ancestors().nth(2).unwrap();
    let program = profile.join(&target.unwrap().name);
    if !program.exists() {
        let build = Command::new(env!("CARGO"))
            .args(["build", "--package", &package.name, "--target-dir"])
            .arg(profile.parent().unwrap())
            .current_dir(root())
            .status();
        assert!(build.unwrap().success());
    }
    program
}

/// The commands in lines of a shell, each without what it is piped into or combined with.
fn split(shell: &str) -> Vec<String> {
    let joined = shell.replace("\\\n", " ");
    let lines = joined.lines().map(|line| {
        let is_comment = |at: &usize| *at == 0 || line[..*at].ends_with(' ');
        let comment = line.find("# ").filter(is_comment);
        &line[..comment.unwrap_or(line.len())]
    });
    let commands = lines.flat_map(|line| line.split(['|', ';', '&', '(', ')']));
    let commands = commands.map(|command| command.trim().to_owned());
    commands.filter(|command| !command.is_empty()).collect()
}

#[test]
fn every_command_exists_and_accepts_its_arguments() {
    let project = Project::read();
    let mut wrong = Vec::new();
    for page in pages() {
        let in_blocks = page.shell().flat_map(|block| split(&block.text));
        for command in page.spans.iter().cloned().chain(in_blocks) {
            if let Err(reason) = project.check(&command) {
                wrong.push(format!("{}: {command}: {reason}", page.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn commands_that_do_not_exist_are_found() {
    let project = Project::read();
    for good in [
        "cargo demo --once",
        "cargo migrate --wait 5 up",
        "just test",
        "A=1 cargo serve",
    ] {
        project.check(good).unwrap();
    }
    for bad in [
        "cargo demoo",
        "cargo demo --twice",
        "just nothing",
        "cargo bench --bench none",
    ] {
        assert!(project.check(bad).is_err(), "{bad}");
    }
    let lines = "FILE=key \\\n  cargo migrate up   # and down\ncargo a && cargo b";
    assert_eq!(
        split(lines),
        ["FILE=key    cargo migrate up", "cargo a", "cargo b"]
    );
}
