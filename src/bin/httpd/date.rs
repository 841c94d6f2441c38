//! Dates as HTTP writes them (RFC 9110, 5.6.7): seconds since 1970 to text and back.

/// Bytes of a date: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const LEN: usize = 29;

const DAY: i64 = 24 * 60 * 60;
const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"]; // 1970 began on a Thursday
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The last second with four digits of a year.
const LAST: i64 = days_before(10_000) * DAY - 1;

/// The second `unix` as text. Years before 1970 and after 9999 do not fit and become the nearest that
/// does.
pub fn format(unix: i64) -> [u8; LEN] {
    let unix = unix.clamp(0, LAST);
    let (days, seconds) = (unix / DAY, (unix % DAY) as u32);
    // A year has at most 366 days, so this is never too late.
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let mut day = days - days_before(year);
    let mut month = 1;
    while day >= days_of(year, month) {
        day -= days_of(year, month);
        month += 1;
    }

    let mut text = *b"Ddd, 00 Mmm 0000 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[days as usize % 7]);
    two_digits(&mut text[5..7], day as u32 + 1);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    two_digits(&mut text[12..14], year as u32 / 100);
    two_digits(&mut text[14..16], year as u32 % 100);
    two_digits(&mut text[17..19], seconds / 3600);
    two_digits(&mut text[20..22], seconds / 60 % 60);
    two_digits(&mut text[23..25], seconds % 60);
    text
}

/// The second that `text` names, in any of the three forms a server must take: today's, that of
/// RFC 850 (`Sunday, 06-Nov-94 08:49:37 GMT`) and that of C's asctime (`Sun Nov  6 08:49:37 1994`).
/// The day of the week is not looked at.
pub fn parse(text: &[u8]) -> Option<i64> {
    let mut parts = [&[][..]; 6];
    let mut count = 0;
    for part in text.split(|byte| b" ,-".contains(byte)).filter(|part| !part.is_empty()) {
        *parts.get_mut(count)? = part;
        count += 1;
    }
    let (day, month, year, time) = match parts[..count] {
        [_, day, month, year, time, b"GMT"] => (day, month, year, time),
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };

    let month = 1 + MONTHS.iter().position(|name| name[..] == *month)? as i64;
    let year = match year.len() {
        4 => number(year)?,
        // RFC 850 has two digits. It was obsolete before the year 2000 and Unix time begins in 1970.
        2 => match number(year)? {
            late @ 70.. => 1900 + late,
            early => 2000 + early,
        },
        _ => return None,
    };
    let day = number(day)?;
    let (hour, minute, second) = match time {
        [a, b, b':', c, d, b':', e, f] => (number(&[*a, *b])?, number(&[*c, *d])?, number(&[*e, *f])?),
        _ => return None,
    };
    // 60 is a leap second, which Unix time counts as the next one.
    if year < 1 || day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let before = (1..month).map(|month| days_of(year, month)).sum::<i64>();
    let days = days_before(year) + before + day - 1;
    Some(days * DAY + hour * 3600 + minute * 60 + second)
}

/// Days from 1970 to the first of January of `year`; negative before.
const fn days_before(year: i64) -> i64 {
    const fn from_year_1(year: i64) -> i64 {
        let whole = year - 1;
        whole * 365 + whole / 4 - whole / 100 + whole / 400
    }
    from_year_1(year) - from_year_1(1970)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn two_digits(text: &mut [u8], number: u32) {
    text[0] = b'0' + (number / 10) as u8;
    text[1] = b'0' + (number % 10) as u8;
}

/// At most four digits and nothing else.
fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 4 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}
