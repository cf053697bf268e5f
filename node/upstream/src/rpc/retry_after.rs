//! The `Retry-After` header.

use std::time::Duration;

use lockstep_io::{HttpResponse, UnixTime};

/// How long `response` asks to wait: seconds, or the time until a date. `None` if it does not ask
/// or what it says makes no sense. A date is compared with the upstream's own clock where the
/// response shows it, otherwise with `wall`.
pub(super) fn retry_after(response: &HttpResponse, wall: UnixTime) -> Option<Duration> {
    let value = response.header("retry-after")?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too large for a number is large all the same.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = lockstep_io::planted!("X44", unix_seconds(value)?, value.parse().ok()?);
    let now = response.header("date").and_then(unix_seconds).unwrap_or(wall.0 / 1000);
    Some(Duration::from_secs(until.saturating_sub(now)))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads a date like `Sun, 06 Nov 1994 08:49:37 GMT`. The day of the week is not looked at.
fn unix_seconds(date: &str) -> Option<u64> {
    let (_weekday, rest) = date.trim().split_once(", ")?;
    let parts: Vec<_> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)?;
    let month = u64::try_from(month).ok()? + 1;
    let (day, year) = (number(day, 1..=31)?, number(year, 1970..=9999)?);
    let time: Vec<_> = time.split(':').collect();
    let [hour, minute, second] = time.as_slice() else { return None };
    let (hour, minute) = (number(hour, 0..=23)?, number(minute, 0..=59)?);
    let second = number(second, 0..=60)?;
    let hours = days_since_1970(year, month, day) * 24 + hour;
    Some((hours * 60 + minute) * 60 + second)
}

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().filter(|number| range.contains(number))
}

/// Days of the Gregorian calendar since 1970-01-01. Years begin in March here, so that the day
/// that is there every fourth year is the last one.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    const DAYS_UNTIL_1970: u64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days - DAYS_UNTIL_1970
}

#[cfg(test)]
mod tests {
    use lockstep_io::{BodyStream, BoxFuture, NetError};

    use super::*;

    struct Empty;

    impl BodyStream for Empty {
        fn next(&mut self) -> BoxFuture<'_, Option<Result<bytes::Bytes, NetError>>> {
            Box::pin(futures::future::ready(None))
        }
    }

    fn asked(headers: &[(&str, &str)]) -> Option<u64> {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let response = HttpResponse { status: 429, headers, body: Box::new(Empty) };
        retry_after(&response, UnixTime(784_111_770_999)).map(|after| after.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(asked(&[("retry-after", "17")]), Some(17));
        assert_eq!(asked(&[("retry-after", "0")]), Some(0));
        assert_eq!(asked(&[("retry-after", "99999999999999999999")]), Some(u64::MAX));
        let date = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(asked(&[date]), Some(7));
        let their_clock = ("date", "Sun, 06 Nov 1994 08:49:00 GMT");
        assert_eq!(asked(&[their_clock, date]), Some(37));
        let past = ("retry-after", "Sun, 06 Nov 1994 08:40:00 GMT");
        assert_eq!(asked(&[past]), Some(0));
    }

    #[test]
    fn nonsense_asks_for_nothing() {
        assert_eq!(asked(&[]), None);
        for nonsense in [
            "",
            "-5",
            "1.5",
            "soon",
            "1e3",
            "0x10",
            "06 Nov 1994",
            "Sun, 06 Nov 1994",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 0 1:1:1 GMT",
        ] {
            assert_eq!(asked(&[("retry-after", nonsense)]), None, "{nonsense:?}");
        }
    }

    #[test]
    fn leap_years_are_counted() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((1972, 2, 29), 789),
            ((1972, 3, 1), 790),
            ((2000, 2, 29), 11_016),
            ((2024, 12, 31), 20_088),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), days, "{date:?}");
        }
    }
}
