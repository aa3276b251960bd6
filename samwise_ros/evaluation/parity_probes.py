"""Watches a model at work and collects the tensors that the official recordings hold.

Everything is done from outside with forward hooks and wrapped calls that are removed afterwards;
the model gains no state. What ours computes in another form (folded FPN levels, adapter residuals)
is recomputed here from its neighbours, at the recorded positions only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.backbones.utils import PatchEmbed
from torch import Tensor

from samwise_ros.evaluation.golden import Golden
from samwise_ros.model.features import Encoded, FrameFeatures, SharedFeatures
from samwise_ros.model.mask_head import MaskPrediction
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.samwise import SamwiseModel, Segmentation
from samwise_ros.model.text_encoder import TextState, Tokens


class LadderRecorder:
    """Samples of our tensors under the names of a recording, for one expression (N = B = 1).

    Attributes:
        samples: Name -> our values where the recording has some.
        shapes: Name -> shape of our whole tensor.
        cme_frames, cme_logits, cme_switched: One entry per frame on which the CME ran.
    """

    def __init__(self, golden: Golden, model: SamwiseModel) -> None:
        self.samples: dict[str, np.ndarray] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.cme_frames: list[int] = []
        self.cme_logits: list[np.ndarray] = []
        self.cme_switched: list[int] = []
        self._golden = golden
        self._model = model
        self._clip = -1
        self._frame = golden.frame_offset
        config = model.config.cmt
        self._num_early = config.fusion_stages[0] + 1  # stages in `SharedFeatures.maps`
        self._stage = torch.empty(0)  # output of the last Hiera stage, before its adapter
        self._decoder_call: tuple[Tensor, ...] = ()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Record what the model computes inside this context."""
        model, sam = self._model, self._model.sam
        trunk = sam.image_encoder.trunk
        roberta: Any = model.text_encoder.roberta
        with ExitStack() as stack:
            def watch(owner: object, method: str, see: Callable[..., None]) -> None:
                stack.enter_context(_watched(owner, method, see))

            def hook(module: Any, see: Callable[[Any], None]) -> None:
                handle = module.register_forward_hook(lambda _m, _i, output: see(output))
                stack.callback(handle.remove)

            watch(model, "encode_text", self._see_text)
            watch(model, "encode", self._see_encode)
            watch(model, "segment_frame", self._see_segment)
            watch(model, "encode_memory", self._see_memory)
            watch(sam.sam_mask_decoder, "decode", self._see_decode)
            watch(model, "encode_shared", self._see_shared)
            hook(trunk.patch_embed, self._see_patches)
            for stage in range(self._num_early, len(trunk.stage_ends)):
                hook(trunk.blocks[int(trunk.stage_ends[stage])], partial(self._see_stage, stage))
            hook(roberta.embeddings, self._see_embedding)
            for index, layer in enumerate(roberta.encoder.layer):
                hook(layer, partial(self._see_layer, f"text/layer{index + 1}_before_adapter"))
            for index, adapter in enumerate(model.cmt_adapters):
                if adapter.use_hsa:
                    hook(adapter.hsa, partial(self._see_layer, f"cmt{index}/hsa_out"))
                watch(adapter, "fuse", partial(self._see_fuse, index))
            yield

    def _see_layer(self, name: str, output: Any) -> None:
        self._put(name, _first(output).transpose(0, 1))

    def _keep(self, name: str, tensor: Tensor) -> None:
        """Keep the recorded positions of a whole tensor, if the recording has it."""
        if name in self._golden.keys and name not in self.samples:
            info = self._golden.keys[name]
            self.shapes[name] = tuple(tensor.shape)
            if self.shapes[name] == info.full_shape:
                self.samples[name] = tensor[info.slices].detach().cpu().numpy().copy()

    def _put(self, name: str, tensor: Tensor) -> None:
        self._keep(f"clip{self._clip}/{name}", tensor)

    def _see_text(self, _result: TextState, tokens: Tokens) -> None:
        self._keep("text/input_ids", tokens.ids)

    def _see_embedding(self, output: Tensor) -> None:
        self._clip += 1  # the text is the first thing that runs in a window
        self._put("text/embedding", output)

    def _see_patches(self, output: Tensor) -> None:
        """Patch embedding [T, h, w, C] of the part of the input that is not all padding."""
        embedding = self._model.sam.image_encoder.trunk.patch_embed
        whole = self._model.config.image_size // 4
        if isinstance(embedding, PatchEmbed) and output.shape[1:3] != (whole, whole):
            padded = embedding.proj.bias.expand(output.shape[0], whole, whole, -1).clone()
            padded[:, : output.shape[1], : output.shape[2]] = output
            output = padded
        self._put("hiera/patch_embed", output)

    def _see_shared(self, result: SharedFeatures, *_: Any) -> None:
        """Early stages, completed where they were computed without the padding."""
        for stage, stage_map in enumerate(result.maps):
            self._see_stage(stage, stage_map)

    def _see_stage(self, stage: int, output: Tensor) -> None:
        """Output [T, h, w, C] of a Hiera stage."""
        self._put(f"hiera/stage{stage + 1}_before_adapter", output)
        self._stage = output
        if stage not in self._model.config.cmt.fusion_stages:
            self._put_lateral(stage, output)

    def _see_fuse(self, index: int, result: tuple[Tensor, Tensor], _attended: Tensor,
                  _mean: Tensor, text: Tensor, *_: Any) -> None:
        """Residuals of one adapter: dv [1, T, h, w, C], dt [1, L, Dt]."""
        config = self._model.config
        stage, layer = config.cmt.fusion_stages[index], config.text.fusion_layers[index]
        dv, dt = result[0][0], result[1]
        self._put(f"cmt{index}/vision_delta", dv.permute(0, 3, 1, 2))
        self._put(f"cmt{index}/text_delta", dt.transpose(0, 1))
        after = self._stage + dv  # the model adds the same two tensors
        self._put(f"hiera/stage{stage + 1}_after_adapter", after)
        self._put(f"text/layer{layer}_after_adapter", (text + dt).transpose(0, 1))
        self._put_lateral(stage, after)

    def _put_lateral(self, level: int, stage_map: Tensor) -> None:
        """FPN level without its top-down term, from a stage map [T, h, w, C].

        The model folds levels 0 and 1 into the decoder's convolutions and never has these tensors;
        level 2 with its top-down term comes from `encode`.
        """
        name = f"clip{self._clip}/fpn/level{level}"
        if name not in self._golden.keys or level == 2:
            return
        convs = self._model.sam.image_encoder.neck.convs
        conv = convs[len(convs) - 1 - level].conv
        frames, height, width, _ = stage_map.shape
        self.shapes[name] = (frames, conv.out_channels, height, width)
        info = self._golden.keys[name]
        if self.shapes[name] != info.full_shape:
            return
        t, c, y, x = info.slices
        picked = F.linear(stage_map[t, y, x], conv.weight.flatten(1), conv.bias)
        self.samples[name] = picked.permute(0, 3, 1, 2)[:, c].cpu().numpy()

    def _see_encode(self, result: tuple[Encoded, Any], pixels: Tensor, *_: Any) -> None:
        encoded = result[0]
        self._put("input/pixels", pixels[0])
        self._put("fpn/level2", encoded.vision[0])
        levels = (encoded.high0, encoded.high1, encoded.vision)
        for level, maps in enumerate(levels):  # [1, T, C, h, w] -> HW, T, C
            self._put(f"vision_feats/level{level}", maps[0].flatten(2).permute(2, 0, 1))
        assert encoded.cls is not None  # the official code always reads a text
        self._put("text/state", encoded.cls.expand(pixels.shape[1], -1))

    def _see_decode(self, _result: Any, vision: Tensor, position: Tensor, prompts: Tensor,
                    dense: Tensor, *_: Any) -> None:
        self._decoder_call = (vision, prompts)  # one row of prompts serves both passes
        self._keep("prompt/dense", dense.expand(1, *vision.shape[1:]))
        self._keep("prompt/dense_pe", position)

    def _see_segment(self, result: Segmentation, _features: FrameFeatures, bank: MemoryBank,
                     *_: Any) -> None:
        name = f"frame{self._frame:03d}"
        vision, prompts = self._decoder_call
        age = torch.tensor([bank.age, bank.age])
        self._keep(f"{name}/memory_index", age)
        self._keep_pass(f"{name}/mem", result.prediction, vision[:1], prompts[:1])
        if result.free is not None and result.cme_logits is not None:
            self._keep_pass(f"{name}/nomem", result.free, vision[1:], prompts[-1:])
            self.cme_frames.append(self._frame)
            self.cme_logits.append(result.cme_logits[0].cpu().numpy())
            self.cme_switched.append(int(result.switched[0]))
        height, width = self._golden.header.input_hw
        self._keep(f"{name}/pred_mask", result.high_res[0, :height, :width])

    def _keep_pass(self, name: str, prediction: MaskPrediction, vision: Tensor,
                   prompts: Tensor) -> None:
        """One pass of the decoder."""
        self._keep(f"{name}/sparse_prompt", prompts)
        self._keep(f"{name}/pix_feat", vision[0])
        self._keep(f"{name}/low_res_mask", prediction.low_res[0])
        self._keep(f"{name}/low_res_mask_f32", prediction.low_res[0])
        self._keep(f"{name}/obj_ptr", prediction.pointer[0])
        self._keep(f"{name}/early_obj_ptr", prediction.early[0])
        self._keep(f"{name}/object_score", prediction.object_score)
        self._keep(f"{name}/iou", prediction.iou)

    def _see_memory(self, result: Tensor, vision: Tensor, memorised: Tensor) -> None:
        name = f"frame{self._frame:03d}/memory"
        height, width = vision.shape[-2:]
        features = result[0].t().unflatten(1, (height, width))
        self._keep(f"{name}/mask_input", torch.sigmoid(memorised[0]) * 20 - 10)
        self._keep(f"{name}/features", features)
        sine = self._model.sam.memory_encoder.position_encoding(features.unsqueeze(0))
        self._keep("memory/position", sine[0])
        self._frame += 1

    def finish(self) -> None:
        """Add what is only known after the last frame."""
        self._keep("cme/frames", torch.tensor(self.cme_frames, dtype=torch.int64))
        self._keep("cme/switched", torch.tensor(self.cme_switched, dtype=torch.int64))
        logits = np.asarray(self.cme_logits, dtype=np.float32).reshape(-1, 2)
        self._keep("cme/logits", torch.from_numpy(logits))


@contextmanager
def _watched(owner: object, method: str, see: Callable[..., None]) -> Iterator[None]:
    """Call `see(result, *arguments)` after every call of a method of this one object."""
    original = getattr(owner, method)

    def watched(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        see(result, *args)
        return result

    owner.__dict__[method] = watched
    try:
        yield
    finally:
        del owner.__dict__[method]


def _first(output: Any) -> Tensor:
    """Layers return a tuple before transformers 5, a tensor since."""
    return output[0] if isinstance(output, tuple) else output
