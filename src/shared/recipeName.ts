/** Whether a file is a recipe by its name: lora.json, or any name that ends in .lora.json. */
export const isRecipeName = (file: string): boolean =>
  /(^|[\\/])([^\\/]+\.)?lora\.json$/.test(file);
