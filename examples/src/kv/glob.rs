//! Patterns of keys: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a byte that stands for itself.

/// Steps that were left when there were none to go on with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Whether `text` matches `pattern`. The time is at most the product of both lengths: a star that
/// fails is retried only for the last one seen, so no pattern is exponential. Each step is taken off
/// `steps`.
///
/// # Errors
/// If there are too few of them.
pub(crate) fn matches(pattern: &[u8], text: &[u8], steps: &mut u64) -> Result<bool, TooLong> {
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and what of the text it has swallowed.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        *steps = steps.checked_sub(1).ok_or(TooLong)?;
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match text.get(t) {
            None if p == pattern.len() => return Ok(true),
            // What is left of the pattern wants more text, and no star can give it.
            None => return Ok(false),
            Some(byte) => {
                if let Some(length) = one(&pattern[p..], *byte, steps)? {
                    p += length;
                    t += 1;
                    continue;
                }
            }
        }
        let Some((after_star, swallowed)) = retry else {
            return Ok(false);
        };
        retry = Some((after_star, swallowed + 1));
        (p, t) = (after_star, swallowed + 1);
    }
}

/// The length of the pattern's first element, if that matches the byte.
fn one(pattern: &[u8], byte: u8, steps: &mut u64) -> Result<Option<usize>, TooLong> {
    Ok(match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ..] => return class(pattern, byte, steps),
        [b'\\', escaped, ..] => (escaped == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
    })
}

/// The same for `[...]`. One that is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8, steps: &mut u64) -> Result<Option<usize>, TooLong> {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = 1 + usize::from(negated);
    let mut found = false;
    loop {
        *steps = steps.checked_sub(1).ok_or(TooLong)?;
        match pattern[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    Ok((found != negated).then_some(at))
}

#[cfg(test)]
mod tests {
    use super::{TooLong, matches};

    #[test]
    fn patterns_match_what_they_should() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXcYYb", false),
            ("a**", "a", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("[", "a", false),
            ("a\\", "a\\", true),
            ("k:*:v", "k:1:v", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), &mut 1000),
                Ok(wanted),
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "a*".repeat(50) + "b";
        let text = "a".repeat(5000);
        let matched = matches(pattern.as_bytes(), text.as_bytes(), &mut 20_000);
        assert_eq!(matched, Ok(false));
    }

    #[test]
    fn no_more_steps_are_taken_than_there_are() {
        let text = [b'a'; 1000];
        let many = |text: &str| text.repeat(500);
        for pattern in [format!("*{}c", many("a")), format!("*[{}]", many("b"))] {
            let mut steps = 100_000;
            assert_eq!(matches(pattern.as_bytes(), &text, &mut steps), Err(TooLong));
            assert_eq!(steps, 0);
        }
    }
}
