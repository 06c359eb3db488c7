//! The words after `-o`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::nearest;

/// What `-o` can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOptions {
    /// All users may see the mount, not only the one who mounts.
    pub allow_other: bool,
    /// Nothing is written, and there is no memory tier.
    pub read_only: bool,
    /// Set-user-id bits are honoured.
    pub suid: bool,
    /// Device files can be used.
    pub dev: bool,
    /// Programs can be run.
    pub exec: bool,
    /// Access times are kept.
    pub atime: bool,
    /// How long the kernel may rely on attributes.
    pub attr_timeout: Duration,
    /// How long the kernel may rely on names, present or absent.
    pub entry_timeout: Duration,
    /// Stores are listed among the other names.
    pub show_stores: bool,
    /// `config=FILE`, absolute.
    pub config: Option<PathBuf>,
    /// `memory_limit=SIZE`, as written.
    pub memory_limit: Option<String>,
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        MountOptions {
            allow_other: false,
            read_only: false,
            suid: false,
            dev: false,
            exec: true,
            atime: true,
            attr_timeout: Duration::from_secs(1),
            entry_timeout: Duration::from_secs(1),
            show_stores: false,
            config: None,
            memory_limit: None,
        }
    }
}

/// Words for others (fstab, systemd, mount itself) that reach us with ours.
const IGNORED: &[&str] = &[
    "defaults",
    "nofail",
    "fail",
    "_netdev",
    "user",
    "users",
    "nouser",
    "owner",
    "group",
    "auto",
    "noauto",
    "async",
    "relatime",
    "norelatime",
    "strictatime",
    "lazytime",
    "nolazytime",
];

/// All words that mean something here, for the message about one that does not.
const KNOWN: &[&str] = &[
    "allow_other",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "default_permissions",
    "attr_timeout",
    "entry_timeout",
    "show_stores",
    "config",
    "memory_limit",
];

impl MountOptions {
    /// Reads lists of words separated by commas; of contrary words the last holds.
    pub fn parse<'a>(lists: impl IntoIterator<Item = &'a str>) -> Result<MountOptions, String> {
        let mut options = MountOptions::default();
        let words = lists.into_iter().flat_map(|list| list.split(',')).map(str::trim).filter(|word| !word.is_empty());
        words.into_iter().try_for_each(|word| options.take(word))?;
        Ok(options)
    }

    fn take(&mut self, word: &str) -> Result<(), String> {
        match word.split_once('=') {
            Some((name, value)) => self.take_value(word, name, value),
            None => self.take_word(word),
        }
    }

    fn take_word(&mut self, word: &str) -> Result<(), String> {
        match word {
            "allow_other" => self.allow_other = true,
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "suid" => self.suid = true,
            "nosuid" => self.suid = false,
            "dev" => self.dev = true,
            "nodev" => self.dev = false,
            "exec" => self.exec = true,
            "noexec" => self.exec = false,
            "atime" => self.atime = true,
            "noatime" => self.atime = false,
            "show_stores" => self.show_stores = true,
            // The kernel checks permissions in any case.
            "default_permissions" => {}
            "attr_timeout" | "entry_timeout" | "config" | "memory_limit" => {
                return Err(format!("the option '{word}' needs a value, as in {word}={}", example(word)));
            }
            _ if is_for_others(word) => {}
            _ => return Err(unknown(word)),
        }
        Ok(())
    }

    fn take_value(&mut self, word: &str, name: &str, value: &str) -> Result<(), String> {
        match name {
            "attr_timeout" => self.attr_timeout = seconds(name, value)?,
            "entry_timeout" => self.entry_timeout = seconds(name, value)?,
            "config" if value.starts_with('/') => self.config = Some(PathBuf::from(value)),
            "config" => return Err(format!("the option config needs an absolute path; '{value}' is none")),
            "memory_limit" => self.memory_limit = Some(value.to_owned()),
            _ if is_for_others(word) => {}
            _ if KNOWN.contains(&name) => return Err(format!("the option '{name}' takes no value")),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

fn is_for_others(word: &str) -> bool {
    IGNORED.contains(&word) || word.starts_with("x-") || word.starts_with("X-") || word.starts_with("comment=")
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    // A day is as good as for ever, and far from what overflows.
    let valid = |secs: &f64| (0.0..=86_400.0).contains(secs);
    let secs = value.parse::<f64>().ok().filter(valid);
    let wrong = || format!("'{value}' is no number of seconds from 0 to 86400; write {name}=1 or {name}=0.5");
    Ok(Duration::from_secs_f64(secs.ok_or_else(wrong)?))
}

fn example(word: &str) -> &'static str {
    match word {
        "config" => "/etc/screen.toml",
        "memory_limit" => "16GiB",
        _ => "1",
    }
}

fn unknown(word: &str) -> String {
    let near = nearest(word, KNOWN.iter().copied()).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    format!("there is no mount option '{word}'{near} The options are {}", KNOWN.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MountOptions, String> {
        MountOptions::parse([text])
    }

    #[test]
    fn the_defaults_are_safe_ones() {
        let options = parse("").unwrap();
        assert!(!options.suid && !options.dev && !options.allow_other && !options.read_only && options.exec);
        assert_eq!(options.attr_timeout, Duration::from_secs(1));
    }

    #[test]
    fn of_contrary_words_the_last_holds() {
        let options = MountOptions::parse(["ro,suid,dev", "rw,nosuid,noexec,noatime"]).unwrap();
        assert!(!options.read_only && !options.suid && options.dev && !options.exec && !options.atime);
    }

    #[test]
    fn what_fstab_and_systemd_say_to_others_is_passed_over() {
        let words = "defaults,nofail,_netdev,user,users,noauto,x-systemd.automount,x-systemd.idle-timeout=1min";
        assert_eq!(parse(words).unwrap(), MountOptions::default());
    }

    #[test]
    fn values_are_read_and_wrong_ones_refused() {
        let options = parse("attr_timeout=0.5,entry_timeout=0,config=/c.toml,memory_limit=50%").unwrap();
        assert_eq!((options.attr_timeout, options.entry_timeout), (Duration::from_millis(500), Duration::ZERO));
        assert_eq!(options.config, Some("/c.toml".into()));
        for (text, part) in [
            ("attr_timeout=soon", "no number of seconds"),
            ("attr_timeout=-1", "no number of seconds"),
            ("attr_timeout=nan", "no number of seconds"),
            ("attr_timeout", "needs a value, as in attr_timeout=1"),
            ("config=c.toml", "absolute path"),
            ("ro=1", "takes no value"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_nearest() {
        assert!(parse("alow_other").unwrap_err().contains("did you mean 'allow_other'?"));
        assert!(parse("atr_timeout=1").unwrap_err().contains("did you mean 'attr_timeout'?"));
    }
}
