"""How the screen looks: fonts that every computer has, one blue, light and dark."""

from __future__ import annotations

from typing import Any

import gradio as gr

# Blue of Okabe and Ito, which people with any colour vision tell from grey; the lighter one is for dark paper.
_BLUE = gr.themes.Color(
    c50="#eef6fb",
    c100="#d6eaf6",
    c200="#add5ed",
    c300="#7dbde2",
    c400="#56b4e9",
    c500="#0072b2",
    c600="#00639b",
    c700="#005484",
    c800="#00456d",
    c900="#003656",
    c950="#00243a",
    name="okabe-ito",
)
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

CSS = """
.gradio-container { width: 100% !important; min-width: 0 !important; max-width: 68rem !important;
  margin: 0 auto !important; }
footer { display: none !important; }
/* Wide tables scroll in their own box, and never the page. */
.gradio-container .main, .gradio-container .main > .wrap, .gradio-container main.contain, .gradio-container .tabs,
.gradio-container .tabitem, .gradio-container .tabitem > *, .gradio-container .block,
.gradio-container .html-container { min-width: 0 !important; max-width: 100% !important; }
.dark { --color-accent: #56b4e9; }
.sl-head { padding: .6rem 0 .2rem; overflow-wrap: anywhere; }
.sl-head h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; font-weight: 650; }
.sl-head p { margin: .35rem 0 0; color: var(--body-text-color-subdued); }
.sl-verdict { font-size: 1.1rem; padding: .8rem 1rem; border-radius: 8px; border: 1px solid var(--border-color-primary);
  border-left: 6px solid var(--color-accent); background: var(--background-fill-secondary); overflow-wrap: anywhere; }
.sl-verdict b { font-size: 1.6rem; margin-right: .4rem; }
.sl-verdict span { color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.sl-verdict.sl-none { border-left-style: dashed; border-left-color: var(--body-text-color-subdued); }
.sl-soft { color: var(--body-text-color-subdued); font-size: .9rem; margin: .5rem 0 0; overflow-wrap: anywhere; }
.sl-sum { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
.sl-wide { overflow-x: auto; max-width: 100%; }
.sl-wide table, .sl-facts { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
.sl-wide th, .sl-wide td, .sl-facts th, .sl-facts td { text-align: left; vertical-align: top;
  padding: .4rem 1rem .4rem 0; border-bottom: 1px solid var(--border-color-primary); }
.sl-wide th { color: var(--body-text-color-subdued); font-weight: 600; white-space: nowrap; }
.sl-wide td { overflow-wrap: anywhere; min-width: 4.2rem; }
.sl-wide td:last-child { min-width: 12rem; }
.sl-report .sl-wide td { min-width: 0; white-space: nowrap; }
.sl-facts { width: 100%; } .sl-facts th { color: var(--body-text-color-subdued); font-weight: 500; width: 11rem; }
.sl-facts td { overflow-wrap: anywhere; white-space: pre-wrap; }
.sl-kept td { background: var(--background-fill-secondary); font-weight: 650; }
.sl-report h2 { font-size: 1.15rem; font-weight: 650; margin: 1.6rem 0 .4rem; }
.sl-report section:first-child h2 { margin-top: .2rem; }
.sl-page { width: 100%; height: 80vh; border: 1px solid var(--border-color-primary); border-radius: 8px;
  display: block; }
@media (max-width: 640px) {
  .sl-wide th, .sl-wide td { padding-right: .6rem; } .sl-wide td:last-child { min-width: 6rem; }
  .sl-facts th { width: 7.5rem; } .sl-head h1 { font-size: 1.4rem; } }
"""


def theme() -> Any:
    """Return the theme; it asks no other host for a font."""
    return gr.themes.Base(
        primary_hue=_BLUE,
        secondary_hue=_BLUE,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=_SANS,
        font_mono=_MONO,
    ).set(
        button_primary_background_fill="*primary_500",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        block_title_text_weight="600",
        block_title_text_color="*body_text_color",
        # A contrast of 4.5 and more, on light and on dark paper.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_label_text_color="*neutral_600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        link_text_color_dark="*primary_400",
        link_text_color_hover_dark="*primary_300",
        stat_background_fill="*primary_500",
        stat_background_fill_dark="*primary_400",
    )
