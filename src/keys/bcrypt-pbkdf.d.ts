// The one function we use of bcrypt-pbkdf, which brings no types.
declare module 'bcrypt-pbkdf' {
  /** Fills `key`; answers 0 when the arguments were acceptable. Takes about 25 ms a round and 32 bytes. */
  export function pbkdf(
    passphrase: Uint8Array,
    passphraseLength: number,
    salt: Uint8Array,
    saltLength: number,
    key: Uint8Array,
    keyLength: number,
    rounds: number,
  ): number;
}
