// A home of its own for tests of the config: an account, and files below it.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { Account } from '../../src/config/account.ts';
import { temporaryFolder } from '../helpers/folder.ts';

export interface Home {
  readonly folder: string;
  readonly account: Account;
  /** Writes a file below the home (0600) and gives its path. HOME/ in the text stands for the home. */
  write(path: string, text: string, mode?: number): string;
}

export function createHome(env: Readonly<Record<string, string>> = {}): Home {
  const folder = temporaryFolder('cfg');
  const { username, homedir, uid } = userInfo();
  return {
    folder,
    account: {
      env: { PATH: process.env['PATH'], HOME: folder, ...env },
      platform: process.platform,
      uid,
      home: folder,
      tmpdir: tmpdir(),
      hostname: hostname(),
      cwd: folder,
      user: username,
      passwdHome: homedir,
    },
    write(path, text, mode = 0o600) {
      const file = join(folder, path);
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      writeFileSync(file, text.replaceAll('HOME/', `${folder}/`));
      chmodSync(file, mode);
      return file;
    },
  };
}
