//! The instruction set that the kernels compute with, chosen once.

use std::str::FromStr;
use std::sync::OnceLock;

/// Asks for one where nobody calls `choose`, as in tests.
pub const VARIABLE: &str = "PENSTOCK_CPU_ISA";

/// An instruction set for which there are kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// Whatever the target has at least; the compiler's own vectors.
    Portable,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX-512 (F, BW, VL, DQ, VNNI). Only where it is asked for: no table from such a processor is committed yet.
    Avx512,
}

impl Isa {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// As the variable spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this machine has it.
    #[must_use]
    pub fn is_there(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => has_avx2(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                has_avx2()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Those of this machine.
    #[must_use]
    pub fn there() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_there()).collect()
    }

    /// The one of that name; `auto` is the best that is on by default.
    ///
    /// # Errors
    /// In a few words, where there is no such one, or not on this machine.
    pub fn named(name: &str) -> Result<Self, String> {
        if name == "auto" {
            return Ok(if Self::Avx2.is_there() {
                Self::Avx2
            } else {
                Self::Portable
            });
        }
        match name.parse::<Self>() {
            Ok(isa) if isa.is_there() => Ok(isa),
            _ => Err(format!(
                "this machine has {}",
                Self::there()
                    .into_iter()
                    .map(Self::name)
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        }
    }

    /// The one that every call computes with: that of the variable, or `auto`, decided at the first call.
    #[must_use]
    pub fn current() -> Self {
        *CURRENT.get_or_init(|| {
            let asked = std::env::var(VARIABLE).unwrap_or_default();
            Self::named(&asked)
                .or_else(|_| Self::named("auto"))
                .unwrap_or(Self::Portable)
        })
    }

    /// Decides for all calls; `auto` leaves it to `current`.
    ///
    /// # Errors
    /// In a few words: as `named`, or where another one computes already.
    pub fn choose(name: &str) -> Result<Self, String> {
        if name == "auto" {
            return Ok(Self::current());
        }
        let wanted = Self::named(name)?;
        let current = *CURRENT.get_or_init(|| wanted);
        if current == wanted {
            Ok(current)
        } else {
            Err(format!(
                "this process computes with {} already",
                current.name()
            ))
        }
    }
}

static CURRENT: OnceLock<Isa> = OnceLock::new();

impl FromStr for Isa {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or(())
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        assert!(Isa::named("sse9").unwrap_err().contains("portable"));
    }
}
