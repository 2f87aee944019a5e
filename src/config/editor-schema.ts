// The JSON Schema beside a config, for the editor: the config's first line names it, relative, so that it goes wherever the folder goes
// (a repository, dotfiles, a container). Written with the config; when it is another version's, `check` and `doctor` say so.
import { lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { replaceFile } from '../files/atomic.ts';
import { readForeignTextNow } from '../files/foreign-file.ts';
import { configSchema, modeline, schemaFileName } from './schema.ts';

const mark = 'Written by tunnel with the config beside it; tunnel schema --write renews it.';

export const editorSchemaOf = (config: string): string => join(dirname(config), schemaFileName);

export const namesEditorSchema = (text: string): boolean =>
  text.split('\n', 10).some((line) => line.trim() === modeline);

const today = (): string => `${JSON.stringify({ $comment: mark, ...configSchema() }, null, 2)}\n`;

/** `foreign`: somebody else's file has that name. */
export type EditorSchema = 'missing' | 'current' | 'stale' | 'foreign';

export function lookAtEditorSchema(config: string): EditorSchema {
  const path = editorSchemaOf(config);
  try {
    if (!lstatSync(path).isFile()) return 'foreign';
    const text = readForeignTextNow(path);
    if (text === today()) return 'current';
    return text.includes(mark) ? 'stale' : 'foreign';
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'ENOENT' ? 'missing' : 'foreign';
  }
}

/** Writes or renews it. Answers what it was before; a foreign one stays as it is. Throws the system's error. */
export async function writeEditorSchema(config: string): Promise<EditorSchema> {
  const before = lookAtEditorSchema(config);
  if (before === 'missing' || before === 'stale') await replaceFile(editorSchemaOf(config), today());
  return before;
}

/** What is wrong with the schema that a config names, as a sentence; null for nothing, or where it names none. */
export function editorSchemaProblem(config: string): string | null {
  try {
    if (!namesEditorSchema(readForeignTextNow(config))) return null;
  } catch {
    return null; // whoever reads the config tells
  }
  const look = lookAtEditorSchema(config);
  if (look === 'stale')
    return `${schemaFileName} beside it, which your editor goes by, is of another version`;
  return look === 'missing'
    ? `${schemaFileName} is not beside it, and its first line names it for your editor`
    : null;
}
