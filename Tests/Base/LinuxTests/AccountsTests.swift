import Glibc
import Testing

@testable import Linux

/// Users and groups by name.
@Suite struct AccountsTests {
    @Test func accountsAreFoundByNameAndNumber() {
        #expect(Accounts.user(named: "root") == 0)
        #expect(Accounts.group(named: "root") == 0)
        #expect(Accounts.group(ofUser: 0) == 0)
        #expect(Accounts.user(named: "nobody-has-this") == nil)
        #expect(Accounts.group(named: "nobody-has-this") == nil)
        #expect(Accounts.group(ofUser: 0x7fff_fff0) == nil)
    }

    @Test func anEntryThatNeedsMoreRoomIsAskedForAgain() {
        var sizes: [Int] = []
        let entry = Accounts.entry(group(), size: 1) {
            sizes.append($2)
            return getgrnam_r("root", $0, $1, $2, $3)
        }
        #expect(entry?.gr_gid == 0)
        #expect(sizes.count > 1 && sizes == sizes.indices.map { 1 << (2 * $0) }, "\(sizes)")
        // And not for ever.
        #expect(Accounts.entry(group(), size: 1) { _, _, _, _ in ERANGE } == nil)
        #expect(Accounts.entry(group()) { _, _, _, _ in EIO } == nil)
    }
}
