/**
 * Models to begin with, that a laptop can train: what they are called on the hub, and their size in
 * MB.
 */
export const SUGGESTIONS = [
  { name: 'HuggingFaceTB/SmolLM2-135M-Instruct', megabytes: 270 },
  { name: 'HuggingFaceTB/SmolLM2-360M-Instruct', megabytes: 725 },
  { name: 'Qwen/Qwen2.5-0.5B-Instruct', megabytes: 990 },
  { name: 'Qwen/Qwen3-0.6B', megabytes: 1500 },
  { name: 'google/gemma-3-270m-it', megabytes: 540 },
  { name: 'sentence-transformers/all-MiniLM-L6-v2', megabytes: 91 },
  { name: 'google/vit-base-patch16-224', megabytes: 350 },
] as const;
