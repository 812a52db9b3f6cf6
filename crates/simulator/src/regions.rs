//! Where replicas may be, and how far that is apart.

use std::time::Duration;

/// The regions by their city or state, and as Azure names them.
pub const REGIONS: [(&str, &str); 20] = [
    ("virginia", "East US"),
    ("texas", "South Central US"),
    ("iowa", "Central US"),
    ("california", "West US"),
    ("washington", "West US 2"),
    ("toronto", "Canada Central"),
    ("sao-paulo", "Brazil South"),
    ("dublin", "North Europe"),
    ("london", "UK South"),
    ("amsterdam", "West Europe"),
    ("frankfurt", "Germany West Central"),
    ("gavle", "Sweden Central"),
    ("johannesburg", "South Africa North"),
    ("dubai", "UAE North"),
    ("pune", "Central India"),
    ("singapore", "Southeast Asia"),
    ("hong-kong", "East Asia"),
    ("tokyo", "Japan East"),
    ("seoul", "Korea Central"),
    ("sydney", "Australia East"),
];

/// Round trips in milliseconds, by the sender's and the receiver's region: the median of 30 days until 30 July 2026.
///
/// Microsoft, "Azure network round-trip latency statistics",
/// <https://learn.microsoft.com/en-us/azure/networking/azure-network-latency> (CC BY 4.0). Its 95th percentiles are 5 %
/// above these for half of the pairs. It has no figures within a region: one millisecond is assumed.
#[rustfmt::skip]
const ROUND_TRIP_MS: [[u16; 20]; 20] = [
    [1, 35, 28, 69, 71, 18, 117, 71, 78, 83, 94, 100, 219, 174, 198, 224, 202, 162, 184, 201],
    [36, 1, 26, 35, 52, 52, 139, 104, 113, 117, 124, 137, 244, 214, 232, 202, 173, 129, 154, 162],
    [29, 26, 1, 39, 39, 29, 149, 101, 109, 110, 119, 126, 244, 192, 223, 198, 176, 136, 158, 176],
    [67, 35, 39, 1, 24, 69, 169, 133, 140, 145, 152, 162, 273, 234, 218, 170, 148, 108, 131, 140],
    [73, 56, 38, 24, 1, 64, 177, 129, 139, 142, 155, 158, 279, 240, 210, 162, 141, 101, 124, 160],
    [18, 54, 29, 69, 64, 1, 129, 76, 81, 90, 97, 109, 230, 175, 201, 222, 201, 160, 182, 202],
    [118, 139, 149, 169, 177, 129, 1, 172, 181, 185, 198, 201, 321, 277, 304, 331, 307, 262, 283, 295],
    [73, 104, 101, 133, 130, 77, 172, 1, 13, 17, 27, 35, 172, 128, 147, 176, 215, 225, 239, 263],
    [78, 112, 108, 140, 139, 81, 180, 12, 1, 11, 17, 31, 164, 119, 141, 167, 200, 229, 240, 261],
    [85, 118, 108, 146, 143, 90, 185, 17, 11, 1, 11, 26, 166, 111, 140, 169, 201, 233, 243, 265],
    [94, 122, 119, 151, 154, 97, 196, 26, 16, 11, 1, 28, 165, 118, 139, 166, 192, 235, 244, 266],
    [100, 135, 129, 160, 159, 106, 201, 33, 31, 27, 27, 1, 186, 122, 157, 190, 219, 252, 260, 285],
    [220, 244, 243, 272, 280, 230, 321, 172, 163, 166, 166, 188, 1, 103, 130, 177, 210, 247, 242, 328],
    [176, 214, 190, 236, 241, 175, 274, 121, 112, 111, 100, 122, 103, 1, 32, 83, 113, 151, 147, 173],
    [201, 234, 220, 217, 211, 201, 303, 146, 141, 139, 140, 164, 131, 32, 1, 53, 87, 122, 121, 145],
    [224, 200, 197, 170, 162, 222, 330, 176, 167, 169, 166, 191, 177, 83, 53, 1, 36, 72, 68, 95],
    [204, 173, 176, 148, 141, 200, 306, 212, 200, 203, 193, 220, 211, 113, 88, 36, 1, 49, 39, 122],
    [162, 129, 135, 107, 100, 160, 262, 227, 230, 234, 236, 253, 251, 152, 122, 72, 49, 1, 29, 103],
    [185, 154, 157, 130, 124, 182, 284, 239, 239, 241, 235, 260, 246, 146, 119, 68, 39, 30, 1, 126],
    [202, 162, 176, 140, 161, 202, 295, 263, 261, 264, 267, 286, 328, 172, 144, 95, 121, 104, 127, 1],
];

/// The place of a region in [`REGIONS`], if there is one of that name.
pub(crate) fn find(name: &str) -> Option<usize> {
    REGIONS.iter().position(|(known, _)| *known == name)
}

/// The median round trip between two regions, if there are such.
pub fn round_trip(from: &str, to: &str) -> Option<Duration> {
    Some(Duration::from_micros(2 * one_way_micros(find(from)?, find(to)?)))
}

/// The microseconds of one way between two regions: half of the round trip.
pub(crate) fn one_way_micros(from: usize, to: usize) -> u64 {
    u64::from(ROUND_TRIP_MS[from][to]) * 500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_take_nearly_as_long_and_no_detour_is_much_shorter() {
        let all = 0..REGIONS.len();
        for (from, to) in all.clone().flat_map(|from| all.clone().map(move |to| (from, to))) {
            let (there, back) = (one_way_micros(from, to), one_way_micros(to, from));
            assert!(there.abs_diff(back) <= 9_000, "{from} {to}");
            assert_eq!(there == 500, from == to, "{from} {to}");
            let shortest = all.clone().map(|by| one_way_micros(from, by) + one_way_micros(by, to)).min();
            assert!(shortest.is_some_and(|shortest| shortest * 10 >= there * 7), "{from} {to}");
        }
        assert_eq!(find("sydney").map(|place| REGIONS[place].1), Some("Australia East"));
    }
}
