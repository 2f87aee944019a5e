// The names that a user's ssh_config speaks of: for a word that is nearly one of them. Asks nobody, and a fault is no matter here.
import { join } from 'node:path';
import { readForeignTextNow } from '../../files/foreign-file.ts';
import { globMatches } from '../glob.ts';
import { includedFiles } from './included-files.ts';
import { readConfigLines } from './lines.ts';

/** As OpenSSH: files that include files end there. */
const includeDepth = 16;

export interface SshAliases {
  /** Names written out, without a pattern. */
  readonly names: readonly string[];
  /** A `Host` line is about this very name, more than a bare star is. */
  speaksOf(name: string): boolean;
}

export function sshAliases(home: string): SshAliases {
  const folder = join(home, '.ssh');
  const patterns = hostWords(join(folder, 'config'), { folder, home, depth: 0 }).filter(
    (word) => !word.startsWith('!'),
  );
  return {
    names: patterns.filter((word) => !/[*?]/.test(word)),
    speaksOf: (name) => patterns.some((word) => word !== '*' && globMatches(word, name)),
  };
}

interface Where {
  readonly folder: string;
  readonly home: string;
  readonly depth: number;
}

function hostWords(file: string, where: Where): readonly string[] {
  let text: string;
  try {
    text = readForeignTextNow(file);
  } catch {
    return []; // it is not there, or whoever resolves the host says why it cannot be read
  }
  return readConfigLines(text).flatMap((line) => {
    if ('problem' in line) return [];
    if (line.keyword === 'host') return line.words;
    if (line.keyword !== 'include' || where.depth >= includeDepth) return [];
    return line.words
      .flatMap((pattern) => includedFiles(pattern, where.folder, where.home))
      .flatMap((each) => hostWords(each, { ...where, depth: where.depth + 1 }));
  });
}
