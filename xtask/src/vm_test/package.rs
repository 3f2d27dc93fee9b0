//! What apt prints of a package, and which one has the kernel.

/// A package as `apt-cache show` prints it.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// The package that this one needs for its kernel, if it has none itself.
    pub kernel_in: Option<String>,
}

impl Package {
    /// The first of those that are shown; `None` if none is.
    pub fn first_of(shown: &str) -> Option<Self> {
        let stanza = shown.split("\n\n").next()?;
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim()))
        };
        let depends: Vec<&str> = field("Depends")
            .unwrap_or_default()
            .split([',', '|'])
            .filter_map(|alternative| alternative.split_whitespace().next())
            .collect();
        // Since 7.x linux-image-* only brings linux-binary-*, linux-modules-* and others together.
        let kernel_in = ["linux-binary-", "linux-image-"].iter().find_map(|kind| {
            depends
                .iter()
                .find(|package| package.starts_with(kind))
                .map(|&package| package.to_owned())
        });
        Some(Self {
            name: field("Package")?.to_owned(),
            version: field("Version")?.to_owned(),
            kernel_in,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_followed_from_package_to_package() {
        let meta = "\
Package: linux-image-cloud-amd64
Source: linux-signed-amd64 (7.3.4+1~bpo13+1)
Version: 7.3.4-1~bpo13+1
Depends: linux-base-cloud-amd64 (= 7.3.4-1~bpo13+1), linux-image-7.3.4+deb13-cloud-amd64 (= 7.3.4-1~bpo13+1), linux-modules-cloud-amd64 (= 7.3.4-1~bpo13+1)
Description: Linux for x86-64 cloud (meta-package)

Package: linux-image-cloud-amd64
Version: 7.2.1-1~bpo13+1
";
        let package = Package::first_of(meta).unwrap();
        assert_eq!(package.name, "linux-image-cloud-amd64");
        assert_eq!(package.version, "7.3.4-1~bpo13+1");
        let image = "linux-image-7.3.4+deb13-cloud-amd64";
        assert_eq!(package.kernel_in.as_deref(), Some(image));

        let shell = "\
Package: linux-image-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1
Depends: dracut | initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool, linux-base-7.3.4+deb13-cloud-amd64 (= 7.3.4-1~bpo13+1), linux-binary-7.3.4+deb13-cloud-amd64 (= 7.3.4-1~bpo13+1)
";
        let binary = Package::first_of(shell).unwrap().kernel_in;
        assert_eq!(
            binary.as_deref(),
            Some("linux-binary-7.3.4+deb13-cloud-amd64")
        );

        let real = "\
Package: linux-image-5.10.0-46-cloud-amd64
Version: 5.10.262-1
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool
";
        assert_eq!(Package::first_of(real).unwrap().kernel_in, None);
        let with_older =
            "Package: a\nVersion: 2\n\nPackage: a\nVersion: 1\nDepends: linux-image-1\n";
        assert_eq!(Package::first_of(with_older).unwrap().kernel_in, None);
        assert_eq!(Package::first_of(""), None);
    }
}
