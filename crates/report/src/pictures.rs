//! Small grey pictures with captions, as SVG.

use std::fmt;

use crate::{
    palette,
    plot::{self, NARROW, clip},
};

/// The most that are drawn, and how many stand side by side.
const PICTURES: usize = 48;
const ACROSS: usize = 6;

const SIDE: f64 = 60.0;
const CAPTION: f64 = 22.0;

/// Square pictures in rows. `Display` gives the SVG.
#[derive(Debug, Clone, Default)]
pub struct Pictures {
    pictures: Vec<Picture>,
}

#[derive(Debug, Clone)]
struct Picture {
    across: usize,
    points: Vec<f64>,
    caption: String,
    colour: Option<usize>,
}

impl Pictures {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one of so many points across, each from 0, the ground, to 1; with a frame of the colour with an index, if one is given.
    pub fn picture(
        &mut self,
        across: usize,
        points: impl IntoIterator<Item = f64>,
        caption: impl Into<String>,
        colour: Option<usize>,
    ) -> &mut Self {
        let (points, caption) = (points.into_iter().collect(), caption.into());
        self.pictures.push(Picture { across: across.max(1), points, caption, colour });
        self
    }
}

impl fmt::Display for Pictures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pictures = &self.pictures[..self.pictures.len().min(PICTURES)];
        let left_out = plot::left_out([(self.pictures.len() - pictures.len(), "pictures")]);
        let (cell, rows) = (NARROW / ACROSS as f64, pictures.len().div_ceil(ACROSS));
        let note = if left_out.is_empty() { 4.0 } else { CAPTION };
        plot::open(f, NARROW, (SIDE + CAPTION) * rows as f64 + note, "pictures")?;
        for (at, Picture { across, points, caption, colour }) in pictures.iter().enumerate() {
            let left = cell * (at % ACROSS) as f64 + (cell - SIDE) / 2.0;
            let top = (SIDE + CAPTION) * (at / ACROSS) as f64 + 2.0;
            let side = SIDE / *across as f64;
            for (place, value) in points.iter().take(across * across).enumerate() {
                if !value.is_finite() || *value <= 0.0 {
                    continue;
                }
                let (x, y) = (left + side * (place % across) as f64, top + side * (place / across) as f64);
                let share = value.min(1.0);
                writeln!(
                    f,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" fill-opacity=\"{share:.2}\"/>"
                )?;
            }
            let frame = colour.map_or("var(--line,#ccc)", palette::colour);
            writeln!(
                f,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"{frame}\" \
                 stroke-width=\"1.5\"/>"
            )?;
            let (x, y) = (left + SIDE / 2.0, top + SIDE + 15.0);
            writeln!(f, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", clip(caption, cell))?;
        }
        if !left_out.is_empty() {
            let y = (SIDE + CAPTION) * rows as f64 + 14.0;
            writeln!(f, "<text x=\"4\" y=\"{y:.1}\" opacity=\".8\">{left_out}</text>")?;
        }
        write!(f, "</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::assert_inside;

    #[test]
    fn a_picture_has_its_points_its_caption_and_its_frame() {
        let mut pictures = Pictures::new();
        pictures.picture(2, [0.0, 0.5, f64::NAN, 2.0, 9.0], "<7>", Some(1)).picture(0, [], "nothing", None);
        let svg = pictures.to_string();
        let points = svg.lines().filter(|line| line.contains("fill-opacity")).count();
        assert_eq!(points, 2, "what is nothing, no number or too much is not drawn: {svg}");
        assert!(svg.contains("&lt;7&gt;") && svg.contains(palette::colour(1)), "{svg}");
        assert_inside(&svg);
    }

    #[test]
    fn many_are_counted() {
        let mut pictures = Pictures::new();
        (0..50).for_each(|_| _ = pictures.picture(1, [1.0], "", None));
        let svg = pictures.to_string();
        assert!(svg.contains("2 pictures"), "{svg}");
        assert_inside(&svg);
        assert_inside(&Pictures::new().to_string());
    }
}
