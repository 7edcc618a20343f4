/** All cases of PEFT's that hold logits and gradients. */
export const PEFT_CASES = [
  'llama/lora-qv', 'llama/lora-attn-padded', 'llama/all-linear', 'llama/embed-tied', 'llama/layers-to-transform', 'llama/pissa-converted', 'llama/formats',
  'llama3/rslora', 'llama3/lm-head', 'llama3/embed', 'llama-sharded/bf16-adapter', 'llama-sharded/bf16-merge', 'mistral/sliding-window', 'mistral/modules-to-save-lm-head',
  'qwen2/rank-alpha-pattern', 'qwen3/dora', 'qwen3/regex', 'gemma/lora-linear', 'gpt2/fan-in-fan-out', 'gpt_neox/bias-lora-only', 'phi3/fused-linear',
  'bert/seq-cls', 'vit/conv2d', 'vit/lora-qv',
  'gemma2/lora', 'gemma3_text/lora', 'olmo2/lora', 'smollm3/lora', 'roberta/lora', 'distilbert/lora', 'rope-linear/lora', 'rope-dynamic/lora', 'rope-yarn/lora', 'rope-longrope-short/lora', 'rope-longrope-long/lora', 'dora-gpt2/lora', 'dora-vit/lora',
];
