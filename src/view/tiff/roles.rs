//! Which page belongs to which image, and at which resolution.

use std::collections::HashMap;

use super::super::grid::Plane;
use super::super::meta::Stated;
use super::super::{Array, Refusal, Role, Segment};
use super::page::{Page, Place};

/// Levels beyond which a reduced page is an image of its own.
const LEVELS_MOST: u32 = 32;

/// The images of a file.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// For each page, what it is.
    pub roles: Vec<Role>,
    /// For each image, which of the images that the file speaks of it is.
    pub stated: Vec<Option<usize>>,
    /// Images by what their pages have in common.
    numbers: HashMap<(Option<usize>, Plane), u32>,
    /// Planes of the reduced levels.
    levels: HashMap<(u32, u32), Plane>,
}

impl Images {
    /// Pages of one shape and type are one image, unless the file says which pages are.
    pub(super) fn of(pages: &[Page], stated: &Stated) -> Self {
        let mut images = Images::default();
        // The last full page of the main chain, and how many reduced ones came behind it.
        let mut last: Option<(u32, Plane)> = None;
        let mut behind = 0;
        for page in pages {
            let below = last.filter(|(_, full)| is_reduced(&page.plane, full));
            let role = match (page.place, below) {
                (Place::Sub(level), Some((image, _))) => images.reduced(image, level, page.plane),
                (Place::Sub(_), None) => images.full(None, page.plane),
                (Place::Main(number), below) => {
                    let image = stated.image_of(number);
                    match below {
                        Some((above, _)) if page.reduced && image.is_none() => {
                            behind += 1;
                            images.reduced(above, behind, page.plane)
                        }
                        _ => {
                            behind = 0;
                            images.full(image, page.plane)
                        }
                    }
                }
            };
            if let (Place::Main(_), Role::Full(image)) = (page.place, role) {
                last = Some((image, page.plane));
            }
            images.roles.push(role);
        }
        images
    }

    fn full(&mut self, stated: Option<usize>, plane: Plane) -> Role {
        let next = self.stated.len() as u32;
        let number = *self.numbers.entry((stated, plane)).or_insert(next);
        if number == next {
            self.stated.push(stated);
        }
        Role::Full(number)
    }

    /// The level of the image that holds planes like this one, from `level` on.
    fn reduced(&mut self, image: u32, level: u32, plane: Plane) -> Role {
        let free = (level..=LEVELS_MOST).find(|&level| *self.levels.entry((image, level)).or_insert(plane) == plane);
        match free {
            Some(level) => Role::Reduced(image, level),
            None => self.full(None, plane),
        }
    }
}

fn is_reduced(plane: &Plane, full: &Plane) -> bool {
    plane.width <= full.width && plane.height <= full.height && (plane.width, plane.height) != (full.width, full.height)
}

/// Arrays as their planes come.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    arrays: Vec<Array>,
    numbers: HashMap<(Plane, Role), u32>,
}

impl Stacks {
    /// The array for such a page, and its number.
    pub(super) fn of(&mut self, plane: Plane, role: Role) -> Result<(u32, &mut Array), Refusal> {
        let next = self.arrays.len() as u32;
        let number = *self.numbers.entry((plane, role)).or_insert(next);
        if number == next {
            let array = plane.array(0, role);
            self.arrays.push(array.ok_or_else(|| Refusal::TooComplex("a row or tile of it is too large".to_owned()))?);
        }
        let array = self.arrays.get_mut(number as usize);
        array.map(|array| (number, array)).ok_or_else(|| Refusal::TooComplex("it has too many images".to_owned()))
    }

    /// The arrays, largest first, and the segments with their new numbers.
    pub(super) fn finish(self, mut segments: Vec<Segment>) -> (Vec<Array>, Vec<Segment>) {
        let bytes = |array: &Array| {
            let plane = array.width.saturating_mul(array.height).saturating_mul(u64::from(array.samples));
            plane.saturating_mul(array.dtype.size() as u64).saturating_mul(array.planes)
        };
        let mut order: Vec<(u32, Array)> = (0..).zip(self.arrays).collect();
        order.sort_by_key(|(_, array)| std::cmp::Reverse(bytes(array)));
        let renumbered: HashMap<u32, u32> = order.iter().zip(0..).map(|(&(old, _), new)| (old, new)).collect();
        for run in segments.iter_mut().filter_map(|segment| segment.run.as_mut()) {
            run.chunk.array = renumbered.get(&run.chunk.array).copied().unwrap_or(run.chunk.array);
        }
        (order.into_iter().map(|(_, array)| array).collect(), segments)
    }
}
