// The users of this machine, as far as its passwd file knows them (passwd(5)). Where users come from elsewhere (macOS, LDAP) it knows few
// or none: nobody may be taken for absent who is not in it.
import { readFileSync } from 'node:fs';

export interface PasswdUser {
  readonly name: string;
  readonly uid: number;
  /** The group that the user belongs to by itself. */
  readonly gid: number;
  readonly home: string;
}

/** Read anew each time; none where there is no such file. */
export function passwdUsers(): readonly PasswdUser[] {
  return fieldsOf('/etc/passwd').map(([name = '', , uid, gid, , home = '']) => ({
    name,
    uid: Number(uid),
    gid: Number(gid),
    home,
  }));
}

export interface PasswdGroup {
  readonly name: string;
  readonly gid: number;
  /** Users who are in it besides those whose own group it is. */
  readonly members: readonly string[];
}

/** group(5): read anew each time; none where there is no such file. */
export function passwdGroups(): readonly PasswdGroup[] {
  return fieldsOf('/etc/group').map(([name = '', , gid, members = '']) => ({
    name,
    gid: Number(gid),
    members: members.split(',').filter((member) => member !== ''),
  }));
}

function fieldsOf(file: string): string[][] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n');
    return lines.filter((line) => line !== '').map((line) => line.split(':'));
  } catch {
    return [];
  }
}
