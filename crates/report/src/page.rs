//! A page that needs nothing but itself: text, tables and charts in one HTML file.

use std::fmt::{self, Write};

use crate::{Bars, Cells, Chart, Distribution, NetworkMap, Pictures, Sequence, Steps, Table};

const STYLE: &str = "
:root{color-scheme:light dark;--ground:#f5f7f9;--card:#fff;--text:#1d2733;--muted:#596675;--line:#dbe1e8}
@media(prefers-color-scheme:dark){
:root{--ground:#0f1419;--card:#151b22;--text:#dde4ec;--muted:#9aa7b5;--line:#2b3540}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:1.5rem auto 3rem;padding:0 1rem;color:var(--text);
background:var(--ground)}
article{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem;align-items:start;
grid-auto-flow:dense;margin-bottom:1rem}
article>*{grid-column:1/-1;margin:0;min-width:0;overflow-wrap:break-word}
article>.narrow,article>.tall{grid-column:auto}
article>.tall{grid-row:span 2}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 1rem}
h2{font-size:1.25rem;margin-top:1.25rem}
h3{font-size:1rem;margin:0 0 .5rem}
p{max-width:46rem}
figure,section,.facts div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem}
figcaption{margin-bottom:.75rem;font-weight:600}
.note,.facts dt{color:var(--muted);font-size:.875rem}
.note{margin:.5rem 0 0}
.box{overflow-x:auto}
svg{display:block;width:100%;height:auto;margin:auto;font-variant-numeric:tabular-nums}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem}
.facts div{padding:.625rem .875rem}
.facts dd{margin:0;font-size:1.3rem;font-weight:600;line-height:1.3}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.3rem .75rem;text-align:left;vertical-align:top}
th{color:var(--muted);font-weight:600;vertical-align:bottom}
td{border-top:1px solid var(--line)}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
@media(max-width:30rem){body{padding:0 .5rem}figure,section{padding:.75rem .5rem}}
";

/// What a page can show as a chart: all the charts of this crate.
pub trait Figure: fmt::Display + sealed::Shaped {}

mod sealed {
    /// How much room a chart takes.
    pub trait Shaped {
        /// The class of its box.
        fn class(&self) -> &'static str;

        /// Its data as a table for other programs, if it has more than it shows in words.
        fn csv(&self) -> Option<String> {
            None
        }
    }
}

macro_rules! figures {
    ($($chart:ty: $class:literal),*) => {$(
        impl Figure for $chart {}
        impl sealed::Shaped for $chart {
            fn class(&self) -> &'static str {
                $class
            }
        }
    )*};
}

figures!(Bars: "narrow", Cells: "narrow", Pictures: "narrow", Distribution: "narrow", NetworkMap: "tall", Sequence: "wide", Steps: "narrow");

impl Figure for Chart {}
impl sealed::Shaped for Chart {
    fn class(&self) -> &'static str {
        "wide"
    }

    fn csv(&self) -> Option<String> {
        Some(self.csv())
    }
}

/// A page under construction. `Display` gives the HTML.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), body: String::new() }
    }

    /// Adds a heading, with which a section begins: what is narrow is moved to where there is room in its section only.
    pub fn heading(&mut self, text: &str) -> &mut Self {
        self.add(format_args!("</article>\n<article>\n<h2>{}</h2>\n", escape(text)))
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.add(format_args!("<p>{}</p>\n", escape(text)))
    }

    /// Adds key figures, each with what it tells: a row of cards.
    pub fn facts<K: AsRef<str>, V: AsRef<str>>(&mut self, facts: impl IntoIterator<Item = (K, V)>) -> &mut Self {
        let card = |(name, value): (K, V)| {
            format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name.as_ref()), escape(value.as_ref()))
        };
        let cards: String = facts.into_iter().map(card).collect();
        self.add(format_args!("<dl class=\"facts\">\n{cards}</dl>\n"))
    }

    /// Adds a table.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        self.add(format_args!("{}\n", table.html()))
    }

    /// Adds a chart.
    pub fn chart(&mut self, chart: &dyn Figure) -> &mut Self {
        self.figure("", chart)
    }

    /// Adds a chart below its caption. Charts that are not wide stand side by side where there is room.
    pub fn figure(&mut self, caption: &str, chart: &dyn Figure) -> &mut Self {
        let class = chart.class();
        let caption =
            if caption.is_empty() { String::new() } else { format!("<figcaption>{}</figcaption>\n", escape(caption)) };
        let data = chart.csv().map_or_else(String::new, |csv| {
            format!("<a class=\"note\" download=\"chart.csv\" href=\"data:text/csv,{}\">data</a>", in_url(&csv))
        });
        self.add(format_args!("<figure class=\"{class}\">{caption}<div class=\"box\">{chart}</div>{data}</figure>\n"))
    }

    fn add(&mut self, html: fmt::Arguments<'_>) -> &mut Self {
        self.body.write_fmt(html).expect("writing to memory does not fail");
        self
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = escape(&self.title);
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n<h1>{title}</h1>\n<article>\n{}</article>\n</html>\n",
            self.body
        )
    }
}

/// A text as a part of a URL.
fn in_url(text: &str) -> String {
    let mut url = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => url.push(byte.into()),
            _ => url += &format!("%{byte:02X}"),
        }
    }
    url
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::left;

    #[test]
    fn a_page_refers_to_nothing_outside_and_escapes_what_it_shows() {
        let mut table = Table::new("a < b", [left("name")]);
        table.row(["<script>"]);
        let mut page = Page::new("\"this\" & that");
        page.paragraph("1 > 0").table(&table);
        let html = page.to_string();
        assert!(html.contains("&lt;script&gt;") && html.contains("a &lt; b") && html.contains("1 &gt; 0"), "{html}");
        assert!(html.contains("&quot;this&quot; &amp; that"), "{html}");
        assert!(!html.contains("http") && !html.contains("<script"), "{html}");
    }

    #[test]
    fn each_section_is_laid_out_by_itself() {
        let mut bars = Bars::new(["bytes"]);
        bars.row("all", [(1.0, "1 B")]);
        let mut page = Page::new("two runs");
        page.paragraph("about").heading("first").figure("of the first", &bars);
        page.heading("second").figure("of the second", &bars);
        let html = page.to_string();
        let sections: Vec<_> = html.split("<article>").skip(1).collect();
        let [_, first, second] = sections[..] else { panic!("{html}") };
        assert!(first.contains("of the first") && first.contains("</article>"), "{html}");
        assert!(second.contains("of the second"), "{html}");
        let grids = html.lines().filter(|line| line.contains("display:grid") && !line.starts_with(".facts"));
        assert!(grids.clone().count() == 1 && grids.clone().all(|line| line.starts_with("article{")), "{html}");
    }

    #[test]
    fn headings_facts_and_captions_are_escaped_and_stand_in_their_order() {
        let mut bars = Bars::new(["<b>"]);
        bars.row("<i>", [(1.0, "<u>")]);
        let mut page = Page::new("");
        page.heading("<h>").facts([("<k>", "<v>")]).figure("<c>", &bars).chart(&bars).paragraph("<p>");
        let html = page.to_string();
        let shown =
            ["&lt;h&gt;", "&lt;k&gt;", "&lt;v&gt;", "&lt;c&gt;", "&lt;b&gt;", "&lt;i&gt;", "&lt;u&gt;", "&lt;p&gt;"];
        let places: Vec<_> = shown.iter().map(|part| html.find(part).expect(part)).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(html.matches("<figcaption>").count(), 1, "only one chart has a caption");
    }
}
