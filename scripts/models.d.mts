export declare function smollm2Path(log?: (line: string) => void): Promise<string>;
export declare function minilmPath(log?: (line: string) => void): Promise<string>;
