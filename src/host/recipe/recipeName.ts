/** lora.json, or any name that ends in .lora.json. */
export const isRecipeName = (name: string): boolean =>
  /(^|[\\/])([^\\/]+\.)?lora\.json$/.test(name);
