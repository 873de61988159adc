/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that the kernel and programs share: map.c. */
#ifndef _RONBUS_REGION_H
#define _RONBUS_REGION_H

#include <linux/gfp.h>
#include <linux/types.h>

struct page;
struct user_struct;
struct vm_area_struct;

/* Where memory is short, the caller is told: no process is killed for it. */
#define RONBUS_GFP (GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

/*
 * Zeroed pages that the kernel and programs map.
 *
 * Lifetime. A region is part of a bus, publisher or subscriber, and the kernel reaches it as long
 * as that. Programs reach its pages through their mappings only, and a mapping holds no page. It
 * holds the file that it was made from until its last page is out of every page table; the file
 * holds the publisher or subscriber, and that the bus. So nothing else has the pages of a region
 * when it is freed.
 */
struct ronbus_region {
	struct page **pages;
	unsigned int nr; /* how many pages */
	void *addr; /* where the kernel has them, contiguous */
	struct user_struct *user; /* the user whose RLIMIT_MEMLOCK they count against */
};

int ronbus_region_alloc(struct ronbus_region *region, size_t bytes);
void ronbus_region_uncharge(struct ronbus_region *region);
void ronbus_region_free(struct ronbus_region *region);
size_t ronbus_region_bytes(const struct ronbus_region *region);
int ronbus_region_map(const struct ronbus_region *region, struct vm_area_struct *vma,
		      bool writable);
int ronbus_vm_may_split(struct vm_area_struct *vma, unsigned long addr);
int ronbus_vm_mremap(struct vm_area_struct *vma);
int ronbus_vm_access(struct vm_area_struct *vma, unsigned long addr, void *buf, int len, int write);

#endif /* _RONBUS_REGION_H */
