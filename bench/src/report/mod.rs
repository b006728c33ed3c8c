//! What becomes of measurements: a file, tables for a terminal, plots and Markdown.

mod markdown;
mod plots;
pub mod results;
pub mod table;

use std::fs;

use self::results::Results;
use crate::cli::DrawArgs;
use crate::failure::Failure;
use crate::peers::PeersResults;

/// Draws the plots and writes the page's marked regions anew.
pub fn draw(args: &DrawArgs) -> Result<(), Failure> {
    let run: Results = results::load(&args.results)?;
    let peers: Option<PeersResults> =
        if args.peers.exists() { Some(results::load(&args.peers)?) } else { None };
    fs::create_dir_all(&args.plots)?;
    let mut page = fs::read_to_string(&args.page)
        .map_err(|error| format!("{}: {error}", args.page.display()))?;
    plots::draw(&run, &args.plots)?;
    for (name, text) in markdown::regions(&run) {
        page = markdown::replace(&page, name, &text)?;
    }
    if let Some(peers) = &peers {
        plots::draw_peers(peers, &args.plots)?;
        page = markdown::replace(&page, "peers", &markdown::peers(peers))?;
    }
    fs::write(&args.page, page)?;
    println!("written: {} and the plots in {}", args.page.display(), args.plots.display());
    Ok(())
}
