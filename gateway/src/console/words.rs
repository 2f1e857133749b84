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

    /// The text in this language with `{}` replaced by `values` in order. `[key|keys]` behind a value is the
    /// first where that is 1, else the second.
    pub fn fill(self, en: &str, zh: &str, values: &[&dyn std::fmt::Display]) -> String {
        let mut text = String::new();
        let mut values = values.iter();
        let mut parts = self.say(en, zh).split("{}");
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let value = values.next().map_or(Cow::Borrowed("…"), |value| Cow::Owned(value.to_string()));
            text.push_str(&value);
            text.push_str(&agreed(part, value == "1"));
        }
        text
    }
}

/// A text in which of each `[one|many]` the word is left that agrees with a number.
pub fn agreed(text: &str, is_one: bool) -> Cow<'_, str> {
    let choice = |from: usize| {
        let begin = from + text.get(from..)?.find('[')?;
        let end = begin + text.get(begin..)?.find(']')?;
        Some((begin, end, text.get(begin + 1..end)?.split_once('|')))
    };
    let (mut agreed, mut done, mut from) = (String::new(), 0, 0);
    while let Some((begin, end, words)) = choice(from) {
        from = end;
        if let Some((one, many)) = words {
            agreed.push_str(text.get(done..begin).unwrap_or_default());
            agreed.push_str(if is_one { one } else { many });
            done = end + 1;
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    agreed.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(agreed)
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

    #[test]
    fn words_agree_with_their_number() {
        let keys =
            |count: u64, used: u64| Lang::En.fill("{} [key|keys], {} of them [is|are] used", "", &[&count, &used]);
        assert_eq!(keys(1, 0), "1 key, 0 of them are used");
        assert_eq!(keys(21, 1), "21 keys, 1 of them is used");
        assert_eq!(agreed("[a|b] of [x] [c|d]", true), "a of [x] c");
        assert_eq!(agreed("[console] folders", false), "[console] folders");
        assert_eq!(agreed("[a|b", true), "[a|b");
    }
}
