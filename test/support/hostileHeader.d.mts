/**
 * A .safetensors file whose header, though of a permitted length, makes more objects than the
 * process that inspects files has memory for.
 */
export function hostileHeader(): Buffer;
