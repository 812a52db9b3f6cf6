//! Arguments of the long runs: `--name number`.

/// The numbers given by these names, or the defaults; none, with a message, if there is anything else.
pub(crate) fn read<const N: usize>(names: [&str; N], defaults: [u64; N]) -> Option<[u64; N]> {
    let mut values = defaults;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let place = argument.strip_prefix("--").and_then(|name| names.iter().position(|known| *known == name));
        let value = arguments.next().and_then(|value| value.parse().ok());
        let Some((place, value)) = place.zip(value) else {
            eprintln!("usage: {}", names.map(|name| format!("[--{name} number]")).join(" "));
            return None;
        };
        values[place] = value;
    }
    Some(values)
}

/// The cores of this machine.
pub(crate) fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}
