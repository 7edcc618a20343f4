export declare function recordFiles(folder: string, files: readonly string[]): void;
export declare function changedFile(folder: string, files: readonly string[]): string | null;
