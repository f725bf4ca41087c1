//! The date of an answer, formatted once a second.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The `Date` of a moment, in seconds since the beginning of 1970, as HTTP writes it. Good for the
/// years up to 9999; later ones count as the last second of that.
///
/// ```
/// use marmot_examples::http::http_date;
///
/// assert_eq!(&http_date(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
pub fn http_date(seconds: u64) -> [u8; 29] {
    let seconds = seconds.min(253_402_300_799);
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[0..3].copy_from_slice(DAYS[(days % 7) as usize]);
    put_two(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[month as usize]);
    put_two(&mut text[12..14], year / 100);
    put_two(&mut text[14..16], year % 100);
    put_two(&mut text[17..19], time / 3600);
    put_two(&mut text[20..22], time / 60 % 60);
    put_two(&mut text[23..25], time % 60);
    text
}

fn put_two(place: &mut [u8], number: u64) {
    place[0] = b'0' + (number / 10) as u8;
    place[1] = b'0' + (number % 10) as u8;
}

/// The year, the month from 0 and the day from 1 of a day counted since the beginning of 1970.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    // The pattern of leap years repeats after 400 years.
    year += days / 146_097 * 400;
    days %= 146_097;
    loop {
        let length = 365 + u64::from(is_leap(year));
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in (0..).zip(months) {
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
    }
    unreachable!("the days of a year are those of its months")
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The current date. One belongs to each connection, so that none is shared.
#[derive(Debug)]
pub(super) struct Date {
    seconds: u64,
    text: [u8; 29],
}

impl Date {
    pub(super) fn new() -> Date {
        Date {
            seconds: 0,
            text: http_date(0),
        }
    }

    /// The date of now.
    pub(super) fn now(&mut self) -> &[u8; 29] {
        // A clock before 1970 is not worth a branch of its own.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        if seconds != self.seconds {
            self.seconds = seconds;
            self.text = http_date(seconds);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, b"Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, b"Tue, 29 Feb 2000 23:59:59 GMT"),
            (1_735_689_599, b"Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, b"Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(&http_date(seconds), text, "{seconds}");
        }
    }
}
