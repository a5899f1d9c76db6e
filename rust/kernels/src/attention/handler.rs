//! `attention`, as XLA calls it.

use super::{Attention, CacheNumber, Heads, Norm, NormKind, Places, Preparation, Rope};
use crate::error::Error;
use crate::ffi::{Call, Element, Handler};
use crate::isa::Isa;
use crate::number::Bf16;

/// `attention`: results float32 [R, N * H], the mixed values, and the cache, float32 or bfloat16
/// [pages, K, even(H) + max(H, 16), 16], which is also the last operand, in the same memory.
///
/// Operands: `fused` float32 [R, K, (G + 2) * H]; `cos` and `sin` float32 [R, pairs], of no pairs where nothing is
/// rotated; `q_norm` and `k_norm`, float32 weights [H], [heads, H] or [0]; `sinks` float32 [N] or [0]; `positions`
/// int32 [B, T], -1 for padding; `block_table` int32 [B, P]. Attributes: `norm` "none", "rms" or "layer"; `eps`,
/// `scale`, `soft_cap` (0: none) and `limit` (infinity: none) float32; `window` int64 (0: none); `is_interleaved` bool;
/// `num_kv_heads` and `head_dim` int64.
pub struct AttentionHandler;

impl Handler for AttentionHandler {
    const NAME: &'static str = "attention";

    fn run(call: &Call<'_>) -> Result<(), Error> {
        let attention = attention(call)?;
        if call.operand_dtype(CACHE, "cache")? == Bf16::DTYPE {
            run::<Bf16>(call, &attention)
        } else {
            run::<f32>(call, &attention)
        }
    }
}

const CACHE: usize = 8;

fn run<N: CacheNumber>(call: &Call<'_>, attention: &Attention<'_>) -> Result<(), Error> {
    let out = call.result::<f32>(0, "the mixed values", 2..3)?;
    let cache = call.aliased::<N>(CACHE, 1, "the cache", 4..5)?;
    attention.run(
        &call.pool(),
        Isa::current(),
        cache.data,
        cache.dims,
        out.data,
    )
}

fn attention<'a>(call: &Call<'a>) -> Result<Attention<'a>, Error> {
    let fused = call.operand::<f32>(0, "fused", 3..4)?;
    let positions = call.operand::<i32>(6, "positions", 2..3)?;
    let block_table = call.operand::<i32>(7, "block_table", 2..3)?;
    let (num_kv_heads, head_dim) = (size(call, "num_kv_heads")?, size(call, "head_dim")?);
    let num_groups = match fused.dims {
        [_, heads, width]
            if *heads == num_kv_heads
                && head_dim > 0
                && *width >= 3 * head_dim
                && width % head_dim == 0 =>
        {
            width / head_dim - 2
        }
        dims => {
            return Err(Error::invalid(format!(
                "fused is {dims:?}, not [rows, {num_kv_heads}, (G + 2) * {head_dim}]"
            )));
        }
    };
    let window = Some(size(call, "window")?).filter(|&window| window > 0);
    let soft_cap = Some(call.float32("soft_cap")?).filter(|&cap| cap > 0.0);
    Ok(Attention {
        heads: Heads {
            num_kv_heads,
            num_groups,
            head_dim,
        },
        fused: fused.data,
        preparation: preparation(call)?,
        sinks: call.operand::<f32>(5, "sinks", 1..2)?.data,
        scale: call.float32("scale")?,
        soft_cap,
        places: Places {
            positions: positions.data,
            num_new: positions.dims[1],
            block_table: block_table.data,
            num_table: block_table.dims[1],
            window,
        },
    })
}

fn preparation<'a>(call: &Call<'a>) -> Result<Preparation<'a>, Error> {
    let cos = call.operand::<f32>(1, "cos", 2..3)?;
    let sin = call.operand::<f32>(2, "sin", 2..3)?;
    let (num_pairs, is_interleaved) = (cos.dims[1], call.bool("is_interleaved")?);
    let rope = Rope {
        cos: cos.data,
        sin: sin.data,
        num_pairs,
        is_interleaved,
    };
    Ok(Preparation {
        limit: call.float32("limit")?,
        q_norm: norm(call, 3, "q_norm")?,
        k_norm: norm(call, 4, "k_norm")?,
        rope: Some(rope).filter(|rope| rope.num_pairs > 0),
    })
}

fn norm<'a>(call: &Call<'a>, index: usize, name: &str) -> Result<Option<Norm<'a>>, Error> {
    let weight = call.operand::<f32>(index, name, 1..3)?.data;
    let kind = match call.text("norm")? {
        "none" => return Ok(None),
        "rms" => NormKind::Rms,
        "layer" => NormKind::Layer,
        other => {
            return Err(Error::invalid(format!(
                "norm is {other:?}, not none, rms or layer"
            )));
        }
    };
    Ok(Some(Norm {
        kind,
        eps: call.float32("eps")?,
        weight,
    }))
}

fn size(call: &Call<'_>, name: &str) -> Result<usize, Error> {
    usize::try_from(call.int64(name)?).map_err(|_| Error::invalid(format!("{name} is below 0")))
}
