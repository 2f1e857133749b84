//! The console's languages. Every text stands in both where it is used, so none is forgotten in one.

use std::borrow::Cow;

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese, simplified.
    Zh,
}

impl Lang {
    /// All of them, with what they are called in themselves.
    pub const ALL: [(Lang, &'static str); 2] = [(Lang::En, "English"), (Lang::Zh, "中文")];

    /// The language with this tag.
    pub fn of_tag(tag: &str) -> Option<Lang> {
        match tag {
            "en" => Some(Lang::En),
            "zh" => Some(Lang::Zh),
            _ => None,
        }
    }

    /// Its tag in addresses and cookies.
    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Zh => "zh",
        }
    }

    /// Its tag in HTML (BCP 47).
    pub fn html(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Zh => "zh-Hans",
        }
    }

    /// What a browser prefers (RFC 9110, section 12.5.4); English if neither.
    pub fn preferred(accept_language: &str) -> Lang {
        let weighed = accept_language.split(',').take(20).filter_map(|range| {
            let (tag, weight) = range.split_once(";q=").unwrap_or((range, "1"));
            let lang = Lang::of_tag(tag.trim().split('-').next().unwrap_or_default())?;
            let weight: f32 = weight.trim().parse().ok()?;
            (weight > 0.0).then_some((lang, weight))
        });
        // The first of those with the highest weight.
        let best = weighed.fold(None, |best: Option<(Lang, f32)>, next| match best {
            Some(best) if best.1 >= next.1 => Some(best),
            _ => Some(next),
        });
        best.map_or_else(Lang::default, |(lang, _)| lang)
    }

    /// The text in this language.
    pub fn say<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }

    /// The text in this language with `{}` replaced by `values` in order.
    pub fn fill(self, en: &str, zh: &str, values: &[&dyn std::fmt::Display]) -> String {
        let mut text = String::new();
        let mut values = values.iter();
        let mut parts = self.say(en, zh).split("{}");
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let value = values.next().map_or(Cow::Borrowed("…"), |value| Cow::Owned(value.to_string()));
            text.push_str(&value);
            text.push_str(part);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_preference_is_followed() {
        for (header, lang) in [
            ("", Lang::En),
            ("zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh),
            ("en-GB,en;q=0.9,zh;q=0.8", Lang::En),
            ("de-DE,de;q=0.9,zh;q=0.5,en;q=0.4", Lang::Zh),
            ("zh;q=0,en;q=0.1", Lang::En),
            ("fr", Lang::En),
            ("zh;q=x,,;;", Lang::En),
        ] {
            assert_eq!(Lang::preferred(header), lang, "{header}");
        }
    }

    #[test]
    fn values_are_filled_in_in_order() {
        assert_eq!(Lang::En.fill("{} of {}", "{} / {}", &[&1, &"x"]), "1 of x");
        assert_eq!(Lang::Zh.fill("{} of {}", "共 {} 项", &[&3]), "共 3 项");
        assert_eq!(Lang::En.fill("{} and {}", "", &[&1]), "1 and …");
    }
}
