export function smollm2Path(log?: (line: string) => void): Promise<string>;
