//! A page that needs nothing but itself: text, tables and charts in one HTML file.

use std::fmt::{self, Write};

use crate::{Chart, Table};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
    color:#1d2733;background:#fff}pre{overflow-x:auto;font-size:13px;line-height:1.35;background:#f4f6f8;padding:1rem}\
    svg{width:100%;height:auto}@media(prefers-color-scheme:dark){body{color:#dde4ec;background:#12171d}\
    pre{background:#1b222b}}";

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

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.add(format_args!("<p>{}</p>\n", escape(text)))
    }

    /// Adds a table as its text shows it.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        self.add(format_args!("<pre>{}</pre>\n", escape(&table.to_string())))
    }

    /// Adds a chart.
    pub fn chart(&mut self, chart: &Chart) -> &mut Self {
        self.add(format_args!("{chart}\n"))
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
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <h1>{title}</h1>\n{}</html>\n",
            self.body
        )
    }
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
}
