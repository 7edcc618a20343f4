/**
 * How generation multiplies by weights in the blocks of a GGUF file. exact: by their values in f32.
 * rounded: rows are rounded to whole numbers of at most 127 for each 32 values, as llama.cpp does.
 */
export const PRODUCTS = ['exact', 'rounded'] as const;
export type Products = (typeof PRODUCTS)[number];
