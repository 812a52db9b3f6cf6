//! Numbers as people read them.

use std::time::{Duration, UNIX_EPOCH};

use alloy_primitives::U256;

/// What stands in a cell that has no value.
pub const NONE: &str = "–";

/// Digits in groups of three: `2,169,081`.
pub fn thousands(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Microseconds in the unit that suits them: `850 µs`, `12.3 ms`, `1.234 s`, `2 min 03 s`.
pub fn duration(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => {
            let tenths = microseconds / 100;
            format!("{}.{} ms", tenths / 10, tenths % 10)
        }
        1_000_000..60_000_000 => {
            let milliseconds = microseconds / 1_000;
            format!("{}.{:03} s", milliseconds / 1_000, milliseconds % 1_000)
        }
        _ => {
            let seconds = microseconds / 1_000_000;
            format!("{} min {:02} s", seconds / 60, seconds % 60)
        }
    }
}

/// Bytes with binary prefixes: `512 B`, `1.5 KiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let exponent = (count.ilog2() / 10) as usize;
    let tenths = (u128::from(count) * 10) >> (10 * exponent);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[exponent - 1])
}

/// Wei as the native currency, exact and without trailing zeros: `0.05 ETH`.
pub fn ether(wei: U256, symbol: &str) -> String {
    let unit = U256::from(10).pow(U256::from(18));
    let whole = thousands(wei / unit);
    let fraction = format!("{:0>18}", (wei % unit).to_string());
    match fraction.trim_end_matches('0') {
        "" => format!("{whole} {symbol}"),
        digits => format!("{whole}.{digits} {symbol}"),
    }
}

/// A hash or address by its ends: `0x1234…abcd`. What is short already is left as it is.
pub fn short(hash: impl ToString) -> String {
    let text = hash.to_string();
    if !text.is_ascii() || text.len() <= 12 {
        return text;
    }
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}

/// A time of a chain, in Unix seconds, for people. Contracts take any number, and the calendar has an end.
pub fn date(seconds: u64) -> String {
    const YEAR_10000: u64 = 253_402_300_800;
    match seconds {
        YEAR_10000.. => format!("second {seconds} of Unix time"),
        _ => humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};

    use super::*;

    #[test]
    fn digits_are_grouped_in_threes() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (2_169_081, "2,169,081")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn durations_choose_their_unit() {
        let shown = [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (999_999, "999.9 ms"),
            (1_234_567, "1.234 s"),
            (59_999_999, "59.999 s"),
            (123_000_000, "2 min 03 s"),
        ];
        for (microseconds, text) in shown {
            assert_eq!(duration(microseconds), text);
        }
        assert!(duration(u64::MAX).ends_with(" s"));
    }

    #[test]
    fn bytes_choose_their_prefix() {
        for (count, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB")]
        {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn ether_is_exact() {
        let wei = |text: &str| text.parse::<U256>().expect("a number");
        assert_eq!(ether(wei("50000000000000000"), "BNB"), "0.05 BNB");
        assert_eq!(ether(wei("1"), "ETH"), "0.000000000000000001 ETH");
        assert_eq!(ether(wei("1234000000000000000000"), "ETH"), "1,234 ETH");
        assert_eq!(ether(U256::ZERO, "ETH"), "0 ETH");
        assert!(ether(U256::MAX, "ETH").ends_with("457.584007913129639935 ETH"));
    }

    #[test]
    fn hashes_show_their_ends() {
        assert_eq!(short(B256::repeat_byte(0xab)), "0xabab…abab");
        assert_eq!(short(Address::ZERO), "0x0000…0000");
        assert_eq!(short("0x12"), "0x12");
        assert_eq!(short("täglich wiederkehrend"), "täglich wiederkehrend");
    }

    #[test]
    fn every_time_that_a_contract_takes_can_be_shown() {
        assert_eq!(date(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(date(253_402_300_799), "9999-12-31T23:59:59Z");
        for late in [253_402_300_800, 1 << 40, u64::MAX] {
            assert!(date(late).contains(&late.to_string()));
        }
    }
}
