/**
 * How generation multiplies by weights. exact: rows in f32 by the weights' values. rounded: for
 * weights in the blocks of a GGUF file, rows are rounded to whole numbers of at most 127 for each
 * 32 values, as llama.cpp does; for weights in bf16 they are rounded to bf16, as in prompts, where
 * the processor multiplies it.
 */
export const PRODUCTS = ['exact', 'rounded'] as const;
export type Products = (typeof PRODUCTS)[number];
